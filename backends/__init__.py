"""Backends by the name that targets.yaml uses."""

from __future__ import annotations

from voxc.backends.base import Backend
from voxc.backends.coreml.backend import CoreMLBackend
from voxc.backends.mlx.backend import MlxBackend
from voxc.backends.onnxruntime.backend import OnnxRuntimeBackend
from voxc.backends.tensorrt.backend import TensorRTBackend
from voxc.backends.tflite.backend import TfliteBackend
from voxc.compiler.core.errors import TargetError

BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (OnnxRuntimeBackend(), TfliteBackend(), CoreMLBackend(), MlxBackend(), TensorRTBackend())
}


def find_backend(name: str) -> Backend:
    """The backend called `name`.

    Raises:
        TargetError: there is none.
    """
    if name not in BACKENDS:
        raise TargetError(f"no backend is called {name!r}; there are {', '.join(BACKENDS)}")
    return BACKENDS[name]
