"""Runs a package with Core ML itself, which only macOS has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from coremltools import models

from voxc.backends.coreml.metadata import COMPUTE_UNITS
from voxc.backends.coreml.mil import Function
from voxc.backends.coreml.package import read_program
from voxc.backends.coreml.sdk import ct, quiet
from voxc.compiler.core.errors import BundleError, TensorError
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import Array


class CoreMLRunner(Runner):
    """One model for each function that has been asked for, on the compute units that the package names."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self.program = read_program(package)
        self.units = ct.ComputeUnit[self.program.metadata.get(COMPUTE_UNITS) or "ALL"]
        self.models: dict[str, Any] = {}
        self.model(self.program.main)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        function = self.function_for(inputs)
        given = {name: narrowed(name, array) for name, array in inputs.items()}
        try:
            found = self.model(function).predict(given)
        except (RuntimeError, ValueError, TypeError) as error:
            raise TensorError(f"Core ML could not run these inputs: {error}") from error
        return {feature.name: np.asarray(found[feature.name]) for feature in function.outputs}

    def function_for(self, inputs: Mapping[str, Array]) -> Function:
        """The function that takes tensors of these shapes."""
        shapes = {name: tuple(array.shape) for name, array in inputs.items()}
        for function in self.program.functions.values():
            if {feature.name: feature.shape for feature in function.inputs} == shapes:
                return function
        told = " or ".join(
            ", ".join(f"{feature.name} {list(feature.shape)}" for feature in function.inputs)
            for function in sorted(self.program.functions.values(), key=lambda each: each.name)
        )
        given = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise TensorError(f"Core ML takes {told}, not {given}")

    def model(self, function: Function) -> Any:
        if function.name not in self.models:
            several = {"function_name": function.name} if len(self.program.functions) > 1 else {}
            try:
                with quiet():
                    self.models[function.name] = models.MLModel(str(self.package), compute_units=self.units, **several)
            except (RuntimeError, ValueError, OSError) as error:
                raise BundleError(f"{self.package}: Core ML refuses it: {error}") from error
        return self.models[function.name]


def narrowed(name: str, array: Array) -> Array:
    """An input as Core ML takes it, which has no 64-bit integers."""
    if array.dtype != np.int64:
        return array
    narrow = array.astype(np.int32)
    if not np.array_equal(narrow, array):
        raise TensorError(f"{name}: {array.min()} to {array.max()}, and Core ML takes 32 bits")
    return narrow
