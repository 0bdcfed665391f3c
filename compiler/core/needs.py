"""What running a bundle does not need and other work does: which extra of voxc brings a module."""

from __future__ import annotations

from voxc.compiler.core.errors import MissingRuntimeError

COMPILE = "pip install 'voxc[compile]'"
#: Modules by name, and what to type where one is missing.
MODULES = dict.fromkeys(("faiss", "onnx", "onnxsim", "safetensors", "sympy", "torch"), COMPILE)


def missing_module(error: ModuleNotFoundError, purpose: str) -> MissingRuntimeError | None:
    """What to install for `purpose`; None if no extra brings the module, and the error is one of ours."""
    module = (error.name or "").partition(".")[0]
    if module not in MODULES:
        return None
    return MissingRuntimeError(f"{purpose} needs {module}, which is not installed: {MODULES[module]}")
