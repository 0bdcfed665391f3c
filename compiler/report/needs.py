"""The libraries behind the page: the extra `report`."""

from __future__ import annotations

import importlib
from types import ModuleType

from voxc.compiler.core.errors import MissingRuntimeError
from voxc.compiler.core.runner import Requirement

INSTALL = "pip install 'voxc[report]'"
REPORT_NEEDS = tuple(Requirement(package, INSTALL) for package in ("jinja2", "matplotlib"))


def load(module: str) -> ModuleType:
    """A library of the extra, imported.

    Raises:
        MissingRuntimeError: it, or something that it imports, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingRuntimeError(f"{module} cannot be imported ({error}): {INSTALL}") from error
