"""Runs an intermediate representation on the CPU with OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from voxc.compiler.core.errors import BundleError, TensorError
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import Array
from voxc_openvino.sdk import openvino


class OpenVinoRunner(Runner):
    """A compiled model with `threads` threads, one request at a time."""

    def __init__(self, file: Path, threads: int, inference_precision: str) -> None:
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": inference_precision,
        }
        core = openvino.Core()
        try:
            self.model = core.compile_model(core.read_model(str(file)), "CPU", settings)
        except RuntimeError as error:
            raise BundleError(f"{file}: OpenVINO refuses it: {first_line(error)}") from error
        self.names = [output.any_name for output in self.model.outputs]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            results = self.model(dict(inputs))
        except (RuntimeError, ValueError, TypeError) as error:
            raise TensorError(f"OpenVINO could not run these inputs: {first_line(error)}") from error
        return {name: np.array(results[name]) for name in self.names}


def first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
