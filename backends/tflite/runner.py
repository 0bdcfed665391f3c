"""Runs a TFLite file on the CPU."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from voxc.compiler.core.errors import BundleError, TensorError
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import Array

STDERR = 2


class TfliteRunner(Runner):
    """One interpreter, with XNNPACK and `threads` threads."""

    def __init__(self, file: Path, threads: int) -> None:
        try:
            with quiet_runtime():
                self.interpreter = Interpreter(str(file), num_threads=threads)
                self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{file}: TFLite refuses it: {error}") from error
        self.inputs = {detail["name"]: detail for detail in self.interpreter.get_input_details()}
        self.outputs = {detail["name"]: detail["index"] for detail in self.interpreter.get_output_details()}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if inputs.keys() != self.inputs.keys():
            raise TensorError(f"TFLite takes the inputs {', '.join(self.inputs)}, not {', '.join(inputs)}")
        try:
            for name, array in inputs.items():
                self.interpreter.set_tensor(self.inputs[name]["index"], np.asarray(array, order="C"))
            self.interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise TensorError(f"TFLite could not run these inputs: {error}") from error
        return {name: self.interpreter.get_tensor(index) for name, index in self.outputs.items()}


@contextmanager
def quiet_runtime() -> Iterator[None]:
    """Keeps what the runtime writes to the process's standard error by itself, as that it uses XNNPACK, out of it."""
    sys.stderr.flush()
    kept = os.dup(STDERR)
    try:
        with tempfile.TemporaryFile() as sink:
            os.dup2(sink.fileno(), STDERR)
            yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
