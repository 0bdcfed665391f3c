"""A model in work: its pinned reference, its programs as they now are, and what every stage did to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from voxc.compiler.core.component import Component
from voxc.compiler.core.program import Program
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.model import Model


@dataclass(frozen=True)
class Part:
    """A component in work: its program, reference inputs and noise, and what float32 PyTorch makes of them with the
    unchanged network.

    `changed` is what the program makes of them where a stage has changed it. `lengths` is the same for segments of
    further lengths. `fallback` is the program for PyTorch, which takes all these lengths, where bundles are to have it.
    `key` is a digest of all that the program depends on; None if nobody can tell.
    """

    component: Component
    program: Program
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    changed: Mapping[str, Array] | None = None
    lengths: tuple[Part, ...] = ()
    fallback: Program | None = None
    key: str | None = None

    @property
    def expected(self) -> Mapping[str, Array]:
        """What lowering and quantization have to keep: the outputs of the program as it now is."""
        return self.outputs if self.changed is None else self.changed


@dataclass(frozen=True)
class StageRecord:
    """What a stage did, and the wall seconds that it took."""

    name: str
    options: Mapping[str, Any]
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Work:
    """The parts of a model for segments of `frames`, and the record of every stage. `why` says what the length follows
    from where a target limits it."""

    model: Model
    frames: int
    why: str
    parts: tuple[Part, ...]
    records: tuple[StageRecord, ...] = ()

    @property
    def programs(self) -> dict[str, Program]:
        return {part.component.name: part.program for part in self.parts}

    def with_part(self, part: Part) -> Work:
        """The same with another part in the place of the one of that component."""
        names = [each.component.name for each in self.parts]
        place = names.index(part.component.name)
        return replace(self, parts=(*self.parts[:place], part, *self.parts[place + 1 :]))
