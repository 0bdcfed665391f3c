"""How the components of a model do its task together, on NumPy arrays and whatever runs them. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from voxc.compiler.audio.scratch import Scratch
from voxc.compiler.audio.sound import Recording
from voxc.compiler.audio.stopwatch import Stopwatch
from voxc.compiler.audio.windows import Window, cover
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.tensor import Array

MAX_TRANSPOSE = 36.0  # semitones

Runners = Mapping[str, Runner]

Tick = Callable[[str, float, float], None]
"""Progress: the step (`analyse`, `pitch`, `convert`, `write`), seconds of audio done, and seconds in all."""

Choose = Callable[[int, int], Sequence[Window]]
"""The windows of a recording, for its frames and the frames of a window."""


@dataclass(frozen=True)
class Conditions:
    """What a chain is to work on: a recording, how, and recordings of whom it is to sound like.

    `options` are of the chain's own class of them. `scratch` is empty, for what the chain makes of the recording.
    `choose` picks the windows, by default all that cover the recording.
    """

    source: Recording
    options: Any
    scratch: Scratch
    stopwatch: Stopwatch
    tick: Tick
    references: Sequence[Recording] = ()
    choose: Choose = cover


@dataclass
class State:
    """What a chain knows of a recording once it is prepared.

    `length` is that of the result in samples, `seconds` that of the recording. `voiced` is the share of voiced frames,
    None where pitch does not matter; `peak` the result's largest magnitude before its level was limited.
    """

    length: int
    seconds: float
    windows: Sequence[Window]
    warnings: list[str] = field(default_factory=list)
    voiced: float | None = None
    peak: float = 0.0


S = TypeVar("S", bound=State)


class Chain(ABC, Generic[S]):
    """How components together turn one recording into another: prepared once, then one window after the other.

    The same chain runs on eager PyTorch, on a backend's runners and on a bundle. It may loop.

    Attributes:
        Options: what a conversion can be asked for: a dataclass with a default for everything, and `speaker`,
            `transpose` (semitones) and `seed` among its fields.
        needs: the components that it cannot do without, and what to type where one is missing.
        last: the component whose output no other component takes.
        sample_rate: of the result, in Hz.
        hop: samples of the result for each frame.
        frames: the length of a window.
    """

    Options: ClassVar[type[Any]]
    needs: ClassVar[Mapping[str, str]]
    last: ClassVar[str]
    sample_rate: int
    hop: int
    frames: int

    def check(self, components: Collection[str]) -> None:
        """Raises RecipeError if these are not the components that it needs, or its windows not of a length for them."""
        missing = [name for name in self.needs if name not in components]
        if missing:
            names = " and a ".join(missing)
            raise RecipeError(f"to convert audio a voice needs a {names} component; this one has none")

    @abstractmethod
    def check_options(self, options: Any) -> None:
        """Raises RecipeError if the model cannot do what the options ask for."""

    @abstractmethod
    def prepare(self, conditions: Conditions, runners: Runners) -> S:
        """Looks at the whole recording, and at the references.

        Raises:
            AudioError: a recording cannot be decoded, is empty, or has samples that are no sound.
            RecipeError: the model cannot do what the options ask for.
            OutputError: the disk is full.
        """

    @abstractmethod
    def window(self, state: S, window: Window, conditions: Conditions, runners: Runners) -> Array:
        """The audio of a window, float32 [frames * hop].

        Raises:
            QualityError: the networks gave something that is not a finite number.
        """

    def finish(self, state: S, result: Scratch, conditions: Conditions) -> None:
        """Sets the level of the result, which holds all windows."""
