"""The libraries behind the metrics: the extra `quality`."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from voxc.compiler.core.errors import MissingRuntimeError
from voxc.compiler.core.runner import Requirement
from voxc.compiler.core.telemetry import silence

INSTALL = "pip install 'voxc[quality]'"
QUALITY_NEEDS = tuple(
    Requirement(package, INSTALL)
    for package in ("resemblyzer", "praat-parselmouth", "pystoi", "pesq", "speechmos", "soxr")
)


def load(module: str) -> ModuleType:
    """A library of the extra, imported.

    Raises:
        MissingRuntimeError: it, or something that it imports, is not installed.
    """
    silence()
    with warnings.catch_warnings():
        # resemblyzer and webrtcvad import scipy.ndimage.morphology and pkg_resources, both deprecated.
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(module)
        except ImportError as error:
            raise MissingRuntimeError(f"{module} cannot be imported ({error}): {INSTALL}") from error


def describe(package: str) -> str:
    """Name and version of a library, for a figure's `how`."""
    return f"{package} {Requirement(package, INSTALL).version or '(not installed)'}"
