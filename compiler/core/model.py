"""A voice: its components, and what they need to be fed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from voxc.compiler.core.component import Component


@dataclass(frozen=True)
class VoiceModel:
    """A voice: its components in the order in which they chain, and what they need to be fed.

    `frame_rate` is in frames a second, `hop` in samples a frame, `sample_rate` in Hz. `facts` is what the family has to
    tell about the checkpoint, for people.
    """

    family: str
    components: tuple[Component, ...]
    sample_rate: int
    hop: int
    content_features: int
    uses_f0: bool
    speakers: int
    facts: Mapping[str, str | int | float] = field(default_factory=dict)

    @property
    def frame_rate(self) -> float:
        return self.sample_rate / self.hop

    @property
    def frame_step(self) -> int:
        """What the frames of a segment must be a multiple of, so that the slowest component gets whole frames."""
        return max(round(self.frame_rate / component.frame_rate) for component in self.components)

    def frames_for(self, component: Component, frames: int) -> int:
        """A component's own frames in a segment of `frames`."""
        return round(frames * component.frame_rate / self.frame_rate)
