"""Packages that the device may lack."""

import importlib
import platform
import sys
from typing import Any, Sequence

from voxc.compiler.core.device_errors import MissingError


def need(modules: Sequence[str], install: str) -> Any:
    """The first of `modules` that can be imported.

    Raises:
        MissingError: none can.
    """
    complaints = []
    for module in modules:
        try:
            return importlib.import_module(module)
        except ImportError as error:
            complaints.append(str(error))
    package, python = modules[0].split(".")[0], f"{sys.executable}, Python {platform.python_version()}"
    raise MissingError(f"{package} cannot be imported by {python} ({complaints[0]}); install it with {install}")
