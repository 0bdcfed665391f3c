"""A model: its components, how they work together, and what it is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import JsonValue

from voxc.compiler.core.axis import Sizes
from voxc.compiler.families.chain import Chain

if TYPE_CHECKING:  # running a bundle needs no torch, which a component has
    from voxc.compiler.core.component import Component


@dataclass(frozen=True)
class Task:
    """What a model is for.

    A `conversion` makes one speaker's recording another's. `sample` is a recording to try the model on, `references`
    are recordings of its own speakers by their number. `missing` says what the model lacks for its task, and what to
    type; empty if nothing.
    """

    name: Literal["conversion", "none"] = "none"
    sample: Path | None = None
    references: Mapping[int, tuple[Path, ...]] = field(default_factory=dict)
    missing: str = ""

    def references_of(self, speaker: int) -> tuple[Path, ...]:
        """Recordings of a speaker."""
        return self.references.get(speaker, ())


@dataclass(frozen=True)
class Model:
    """Components in the order in which they work, and what the family knows of them.

    A segment is counted in frames, `frame_rate` a second; both are None and 1 for a model without time. `sample_rate`
    in Hz is that of the audio that comes out, if any does. `chain` gives the chain for segments of so many frames;
    `settings` are what the family makes the same chain of for a bundle. `sizes` are the lengths of axes that are not
    time. `files` are those that the model was read from, by their role, `depends` further ones that say how; `facts`
    are what the family has to tell about them, for people, and `warnings` what is wrong and does not stop anything.
    """

    family: str
    components: tuple[Component, ...]
    files: Mapping[str, Path]
    depends: tuple[Path, ...] = ()
    task: Task = Task()
    chain: Callable[[int], Chain[Any]] | None = None
    frame_rate: float | None = None
    sample_rate: int | None = None
    settings: Mapping[str, JsonValue] = field(default_factory=dict)
    sizes: Sizes = field(default_factory=dict)
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def converts(self) -> bool:
        """Whether it can convert recordings as it is."""
        return self.task.name == "conversion" and not self.task.missing

    @property
    def hop(self) -> int:
        """Samples of audio that come out for each frame; 1 without time."""
        return round(self.sample_rate / self.frame_rate) if self.sample_rate and self.frame_rate else 1

    @property
    def frame_step(self) -> int:
        """What the frames of a segment must be a multiple of, so that the slowest component gets whole frames."""
        rates = [component.frame_rate for component in self.components if component.frame_rate is not None]
        return max((round((self.frame_rate or rate) / rate) for rate in rates), default=1)

    def sizes_of(self, component: Component, frames: int) -> dict[str, int]:
        """How long a component's axes are in a segment of `frames`."""
        sizes = {}
        for axis in component.axes:
            if axis.rate is not None and self.frame_rate is not None:
                sizes[axis.name] = round(frames * axis.rate / self.frame_rate)
            else:
                sizes[axis.name] = self.sizes.get(axis.name, axis.size or axis.least)
        return sizes

    def seconds_of(self, frames: int) -> float | None:
        """How long a segment lasts; None for a model without time."""
        return None if self.frame_rate is None else frames / self.frame_rate
