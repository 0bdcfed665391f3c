"""The module that a graph becomes: one submodule for each ONNX node, so that messages name that node."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from voxc.compiler.families.generic.onnx.call import Function


@dataclass(frozen=True)
class Operand:
    """Where a step takes a tensor from: a weight of the network, or an input or a result by its number."""

    weight: str | None = None
    slot: int = -1


class Step(nn.Module):
    """A function as a module."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor | None) -> Any:
        return self.function(*tensors)


@dataclass(frozen=True)
class Wiring:
    """A step by its name, its operands, the slots of its results, and the slots that nothing reads after it."""

    step: str
    operands: tuple[Operand | None, ...]
    results: tuple[int, ...]
    spent: tuple[int, ...]


class OnnxNetwork(nn.Module):
    """Runs its steps in the order of the file; takes the graph's inputs and gives its outputs in order.

    Steps are submodules under the names of their nodes, weights are parameters and buffers under those of their
    tensors, each made valid.
    """

    def __init__(self, wirings: Sequence[Wiring], outputs: Sequence[Operand]) -> None:
        super().__init__()
        self.wirings = tuple(wirings)
        self.outputs = tuple(outputs)

    def forward(self, *inputs: Tensor) -> Any:
        values: dict[int, Tensor] = dict(enumerate(inputs))
        steps, weights = self._modules, {**self._parameters, **self._buffers}

        def fetch(operand: Operand | None) -> Tensor | None:
            if operand is None:
                return None
            return values[operand.slot] if operand.weight is None else weights[operand.weight]

        for wiring in self.wirings:
            step = steps[wiring.step]
            assert step is not None
            result = step(*map(fetch, wiring.operands))
            results = result if isinstance(result, tuple | list) else (result,)
            values.update(zip(wiring.results, results, strict=False))
            for slot in wiring.spent:
                values.pop(slot, None)
        results = tuple(fetch(output) for output in self.outputs)
        return results[0] if len(results) == 1 else results


def spent_slots(wirings: Sequence[Wiring], outputs: Iterable[Operand]) -> list[Wiring]:
    """The same with what each step is the last to read."""
    kept = {output.slot for output in outputs}
    marked = []
    for wiring in reversed(wirings):
        touched = {operand.slot for operand in wiring.operands if operand and operand.weight is None}
        spent = tuple(sorted((touched | set(wiring.results)) - kept))
        kept |= touched
        marked.append(Wiring(wiring.step, wiring.operands, wiring.results, spent))
    return marked[::-1]


class Names:
    """Names made valid for attributes of a module, each given once."""

    def __init__(self) -> None:
        self.taken = set(dir(nn.Module)) | set(vars(nn.Module())) | {"wirings", "outputs"}

    def claim(self, name: str, characters: str = r"[^\w]") -> str:
        valid = re.sub(characters, "_", name) or "_"
        number, claimed = 1, valid
        while claimed in self.taken:
            number += 1
            claimed = f"{valid}_{number}"
        self.taken.add(claimed)
        return claimed
