"""A fallback out of a bundle, run by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from voxc.compiler.core.errors import BundleError, TensorError
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import MAX_TENSOR_BYTES, Array, TensorSpec
from voxc.compiler.core.threads import torch_threads
from voxc.compiler.fallback.document import Argument, Call, Document, DType, MemoryFormat, NonFinite, Reference
from voxc.compiler.fallback.operators import find_operator
from voxc.compiler.fallback.write import WEIGHTS

MAX_GRAPH_BYTES = 1 << 24
MAX_WEIGHT_BYTES = 1 << 33
#: Of all values but weights that a graph keeps at once.
MAX_LIVE_BYTES = 4 * MAX_TENSOR_BYTES

#: What PyTorch raises for arguments that do not fit.
REFUSALS = (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError, AssertionError, MemoryError)


@dataclass(frozen=True)
class Step:
    """A call that is ready to be made, and the values that nothing after it needs."""

    call: Call
    function: Callable[..., Any]
    last: tuple[str, ...]

    def run(self, values: Mapping[str, Any]) -> Any:
        arguments = [filled(argument, values) for argument in self.call.arguments]
        keywords = {name: filled(argument, values) for name, argument in self.call.keywords.items()}
        return self.function(*arguments, **keywords)


@dataclass(frozen=True)
class Fallback(Runner):
    """A component as it was exported, in float32 on PyTorch's own kernels with `threads` threads.

    Inputs of shapes that have not been seen are first tried without any memory behind the values: what a graph would
    take, and whether it fits together, is known before it takes it.
    """

    file: Path
    document: Document
    steps: tuple[Step, ...]
    weights: Mapping[str, Tensor]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    threads: int
    tried: set[tuple[tuple[int, ...], ...]] = field(default_factory=set)

    @classmethod
    def read(
        cls, file: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], threads: int
    ) -> Fallback:
        """The fallback of a component with these inputs and outputs, by its graph file.

        Raises:
            BundleError: it is unreadable, hostile, or of another component.
        """
        document = read_document(file)
        for told, specs in ((document.inputs.values(), inputs), (document.outputs, outputs)):
            names = [spec.name for spec in specs]
            if sorted(told) != sorted(names):
                raise BundleError(f"{file}: has {', '.join(told)}, and the component has {', '.join(names)}")
        weights = read_weights(file.with_suffix(WEIGHTS), document)
        return cls(file, document, steps_of(document, file), weights, inputs, outputs, threads)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        given = {name: torch.from_numpy(np.asarray(inputs[name])) for name in sorted(inputs)}
        shapes = tuple(tuple(tensor.shape) for tensor in given.values())
        if shapes not in self.tried:
            self.try_out(given)
            self.tried.add(shapes)
        try:
            with torch.inference_mode(), torch_threads(self.threads):
                found = self.evaluate(given, self.weights)
        except REFUSALS as error:
            raise TensorError(f"{self.file}: PyTorch could not run these inputs: {first_line(error)}") from error
        return {name: tensor.numpy() for name, tensor in found.items()}

    def evaluate(
        self,
        inputs: Mapping[str, Tensor],
        weights: Mapping[str, Tensor],
        watch: Callable[[Step, Mapping[str, Any]], None] = lambda step, values: None,
    ) -> dict[str, Tensor]:
        """Outputs for inputs by name; `watch` is told the values that are kept after each step."""
        values: dict[str, Any] = {value: inputs[name] for value, name in self.document.inputs.items()}
        values |= {value: weights[name] for value, name in self.document.weights.items()}
        for step in self.steps:
            values[step.call.name] = step.run(values)
            watch(step, values)
            for name in step.last:
                del values[name]
        return {name: values[value] for name, value in self.document.outputs.items()}

    def try_out(self, inputs: Mapping[str, Tensor]) -> None:
        """Raises BundleError if the graph does not fit these inputs, takes too much memory, or gives something else
        than the component's outputs."""
        place = [""]

        def weigh(step: Step, values: Mapping[str, Any]) -> None:
            place[0] = f" after {step.call.name}"
            check_memory(value for name, value in values.items() if name not in self.document.weights)

        try:
            with FakeTensorMode() as mode:
                fakes = {name: mode.from_tensor(tensor) for name, tensor in inputs.items()}
                weights = {name: mode.from_tensor(tensor) for name, tensor in self.weights.items()}
                found = self.evaluate(fakes, weights, weigh)
        except REFUSALS as error:
            raise BundleError(f"{self.file}: does not compute{place[0]}: {first_line(error)}") from error
        for spec in self.outputs:
            value = found[spec.name]
            if not isinstance(value, Tensor) or not spec.fits(tuple(value.shape)) or dtype_name(value) != spec.dtype:
                raise BundleError(f"{self.file}: does not give {spec.name} as {spec.dtype} {list(spec.shape)}")


def read_document(file: Path) -> Document:
    try:
        if file.stat().st_size > MAX_GRAPH_BYTES:
            raise BundleError(f"{file}: larger than {MAX_GRAPH_BYTES >> 20} MiB")
        return Document.model_validate_json(file.read_bytes())
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BundleError(f"{file}: not a fallback: {place and f'{place}: '}{first['msg']}") from error


def read_weights(file: Path, document: Document) -> dict[str, Tensor]:
    try:
        if file.stat().st_size > MAX_WEIGHT_BYTES:
            raise BundleError(f"{file}: larger than {MAX_WEIGHT_BYTES >> 30} GiB")
        found = load_file(file)
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror or error}") from error
    except (SafetensorError, *REFUSALS) as error:
        raise BundleError(f"{file}: not a readable safetensors file ({first_line(error)})") from error
    missing = next((name for name in document.weights.values() if name not in found), None)
    if missing is not None:
        raise BundleError(f"{file}: has no tensor {missing}")
    return found


def steps_of(document: Document, file: Path) -> tuple[Step, ...]:
    """The calls of a graph, with what computes them.

    Raises:
        BundleError: a call is of an operator that fallbacks may not have, or of other arguments than it takes.
    """
    kept = set(document.outputs.values())
    steps = []
    for call in reversed(document.calls):
        operator = find_operator(call.operator)
        if operator is None:
            raise BundleError(f"{file}: {call.name} calls {call.operator}, which fallbacks may not have")
        complaint = operator.complaint(call.arguments, call.keywords)
        if complaint:
            raise BundleError(f"{file}: {call.name} gives {call.operator} {complaint}")
        last = tuple(dict.fromkeys(name for name in (*call.references, call.name) if name not in kept))
        steps.append(Step(call, operator.function, last))
        kept.update(last)
    return tuple(reversed(steps))


def filled(argument: Argument, values: Mapping[str, Any]) -> Any:
    """An argument as PyTorch takes it."""
    match argument:
        case tuple():
            return [filled(each, values) for each in argument]
        case Reference():
            return values[argument.value]
        case DType():
            return getattr(torch, argument.dtype)
        case MemoryFormat():
            return getattr(torch, argument.memory_format)
        case NonFinite():
            return float(argument.number)
    return argument


def check_memory(values: Iterable[Any]) -> None:
    """Raises ValueError if tensors without memory would take too much; what shares memory counts once."""
    tensors = [each for value in values for each in (value if isinstance(value, tuple | list) else (value,))]
    storages = {
        storage._cdata: storage.nbytes()
        for storage in (tensor.untyped_storage() for tensor in tensors if isinstance(tensor, Tensor))
    }
    if max(storages.values(), default=0) > MAX_TENSOR_BYTES or sum(storages.values()) > MAX_LIVE_BYTES:
        raise ValueError(f"takes {sum(storages.values()) >> 20} MiB")


def dtype_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
