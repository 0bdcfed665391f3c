"""Evaluates the ML program of a `.mlpackage` with torch, on any machine.

This is what gives Core ML artifacts `reference` evidence where Core ML is not: the package's own graph, read back from
its files. What is float16 in the program is rounded to float16 after each operation; within an operation products and
sums are float32, so that sums that a device keeps in float16 come out better here. Integers are exact, and so are
layers between integers. It says nothing of time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from voxc.backends.coreml.interpret.call import HELD, Value
from voxc.backends.coreml.interpret.routine import Preparer, Routine, rounded
from voxc.backends.coreml.mil import Feature, Function, Named
from voxc.backends.coreml.package import read_program
from voxc.compiler.core.errors import BundleError, TensorError, UnsupportedError
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import Array
from voxc.compiler.core.threads import torch_threads


class Interpreter(Runner):
    """One package, with `threads` threads.

    Without a `function`, each run takes the first function that takes inputs of these shapes, the default one first.
    States are zero at the begin of every run.

    Raises:
        BundleError: the package is broken, or has no such function.
        UnsupportedError: it has an operation that there is no kernel for.
    """

    def __init__(self, package: Path, threads: int, function: str | None = None) -> None:
        self.package = package
        self.threads = threads
        program = read_program(package)
        if function is not None and function not in program.functions:
            raise BundleError(f"{package}: has no function {function}, only {', '.join(program.functions)}")
        first = program.default if function is None else function
        others = () if function is not None else (name for name in program.functions if name != first)
        self.functions = [program.functions[name] for name in (first, *others)]
        self.preparer = Preparer()
        self.routines: dict[str, Routine] = {}
        self.routine(self.functions[0])

    def routine(self, function: Function) -> Routine:
        """The function made ready, when it is first needed."""
        if function.name not in self.routines:
            try:
                self.routines[function.name] = self.preparer.routine(function.block, function.arguments, {})
            except (BundleError, UnsupportedError) as error:
                raise type(error)(f"{self.package}: {error}") from error
        return self.routines[function.name]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        function = self.function_for(inputs)
        routine = self.routine(function)
        features = {feature.name: feature for feature in function.inputs}
        try:
            with torch.inference_mode(), torch_threads(self.threads):
                values: dict[str, Value] = {}
                for named in function.arguments:
                    if named.type.kind == "state":
                        values[named.name] = zeros(named)
                    elif named.name in features:
                        values[named.name] = accept(features[named.name], named, inputs[named.name])
                    else:
                        raise BundleError(f"the input {named.name} is not described")
                results = routine.run(values)
        except (BundleError, UnsupportedError) as error:
            raise type(error)(f"{self.package}: {error}") from error
        given = dict(zip(function.block.outputs, results, strict=True))
        return {feature.name: self.output(feature, given.get(feature.name)) for feature in function.outputs}

    def function_for(self, inputs: Mapping[str, Array]) -> Function:
        """The function that takes these inputs.

        Raises:
            TensorError: none does.
        """
        for function in self.functions:
            if {feature.name for feature in function.inputs} == inputs.keys() and all(
                feature.takes(np.shape(inputs[feature.name])) for feature in function.inputs
            ):
                return function
        taken = " or ".join(
            ", ".join(f"{feature.name} {feature.accepted}" for feature in function.inputs)
            for function in self.functions
        )
        given = ", ".join(f"{name} {list(np.shape(array))}" for name, array in inputs.items())
        raise TensorError(f"{self.package.name} takes {taken}, not {given}")

    def output(self, feature: Feature, value: Value | None) -> Array:
        if not isinstance(value, Tensor):
            raise BundleError(f"{self.package}: the program does not give the output {feature.name} as a tensor")
        return np.array(value.numpy(), feature.dtype, order="C")  # a copy: a result may be one of the constants


def accept(feature: Feature, named: Named, array: Array) -> Tensor:
    """An input as kernels take it. Real numbers are rounded to the input's type, as Core ML does; integers must fit.

    Raises:
        TensorError: they do not.
    """
    if feature.dtype not in HELD or named.type.dtype not in HELD:
        raise UnsupportedError(f"the input {feature.name} is a {feature.dtype}, which only Core ML itself takes")
    array = np.asarray(array)
    cast = array.astype(feature.dtype)
    if array.dtype.kind not in "biuf" or (cast.dtype.kind in "iu" and not np.array_equal(cast, array)):
        raise TensorError(f"{feature.name}: the {array.dtype} values do not fit {feature.dtype}")
    tensor = torch.from_numpy(np.ascontiguousarray(cast)).to(HELD[named.type.dtype])
    if not named.type.fits(tuple(tensor.shape)):
        raise BundleError(f"the input {feature.name} is described as {feature.accepted}, the program says {named.type}")
    value = rounded(tensor) if named.type.dtype == "float16" else tensor
    assert isinstance(value, Tensor)
    return value


def zeros(named: Named) -> Tensor:
    """A state at the begin."""
    shape = named.type.shape
    if named.type.count is None or shape is None or named.type.dtype not in HELD:
        raise BundleError(f"a state of type {named.type.dtype}{list(shape or ())}")
    return torch.zeros([size or 0 for size in shape], dtype=HELD[named.type.dtype])
