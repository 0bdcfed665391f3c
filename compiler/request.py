"""What to compile, for what, and how; refused before any work where it cannot come out well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voxc.compiler.core.axis import MAX_FRAMES, Sizes
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.gates import OF_CONVERSIONS, Gate
from voxc.compiler.core.recipe import PrecisionRecipe, nothing_emulated
from voxc.compiler.core.target import Target
from voxc.compiler.core.text import file_name
from voxc.compiler.families.model import Model
from voxc.compiler.stages.base import Stage

DEFAULT_SEGMENT_SECONDS = 2.0
# Of a voice that converts recordings: longer segments share more context, and lose less time to it.
CONVERTING_SEGMENT_SECONDS = 4.0
# Recordings of any length are cut into segments, so longer ones only take memory; RVC itself cuts at 32 to 65 s.
MAX_SEGMENT_SECONDS = 60.0
WINDOWS = "recordings of any length are converted in segments"
SEGMENTS = {"one": "needs one segment length", "any": "takes any segment length, with --dynamic"}
# What needs no calibration.
FLOATS = {"fp32", "fp16"}
# torch.export takes sizes of 0 and 1, and what comes out as 1, for fixed.
LEAST_DYNAMIC_FRAMES = 3


@dataclass(frozen=True)
class Request:
    """A model, its targets and the options.

    `output` is the bundle for one target, and the directory of bundles for several; without it a bundle is named after
    the model and the target. At most one of `segment` (seconds) and `frames` is given; `lengths` are further numbers of
    frames that the artifacts take; where no length is given, the segment has at most `longest` frames. `sizes` are the
    lengths of axes that are not time. `threads` of None are the target's. `precision` says what to compute in.
    `options` are those of the model's family, which is `family` or else the one that recognises it. `sample` is
    converted to measure what the bundle sounds like, `references` are recordings of the speaker that it is converted
    to, and `transpose` is in semitones; None brings the pitch of the one to that of the other. Without `convert`
    nothing is converted, and without `measure` nothing is timed. `stages` change the networks, in order. With
    `fallback` a bundle has its components for PyTorch too.
    """

    model: Path
    targets: tuple[Target, ...]
    output: Path | None = None
    segment: float | None = None
    frames: int | None = None
    lengths: tuple[int, ...] = ()
    longest: int | None = None
    precision: PrecisionRecipe = field(default_factory=PrecisionRecipe)
    dynamic: bool = False
    threads: int | None = None
    verify_passes: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    family: str | None = None
    sizes: Sizes = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    sample: Path | None = None
    references: tuple[Path, ...] = ()
    speaker: int = 0
    transpose: float | None = None
    convert: bool = True
    measure: bool = True
    gates: tuple[str, ...] = ()
    fallback: bool = False

    def check(self) -> None:
        """Raises RecipeError where options contradict each other or a target."""
        self.check_options()
        for target in self.targets:
            self.check_for(target)

    def check_options(self) -> None:
        """Raises RecipeError where options contradict each other, whatever the target."""
        if self.segment is not None and self.frames is not None:
            raise RecipeError("--segment and --frames say the same thing twice; give one of them")
        if self.threads is not None and self.threads < 1:
            raise RecipeError(f"--threads must be at least 1, not {self.threads}")
        if self.precision.plan and (self.precision.policy or self.precision.overrides):
            raise RecipeError("--plan says what everything computes in; leave out --precision")
        for text in self.gates_of_conversions:
            if not self.convert:
                raise RecipeError(f"--gate {text!r}: is about the sample's sound; leave out --no-sample")
        if self.precision.allow_emulated and not any(map(self.precision.emulates, self.targets)):
            raise RecipeError(nothing_emulated(self.targets[0], self.precision.asked(self.targets[0])))

    def check_for(self, target: Target) -> None:
        """Raises RecipeError where options contradict a target."""
        asked = {self.precision.policy_for(target), *(each.precision for each in self.precision.overrides)}
        if self.dynamic and target.segments != "any":
            raise RecipeError(f"target {target.name} needs a fixed segment length; leave out --dynamic")
        if self.lengths and target.segments != "several":
            raise RecipeError(f"target {target.name} {SEGMENTS[target.segments]}; give one number of --frames")
        if self.dynamic and (asked - FLOATS or self.precision.plan):
            raise RecipeError("integers are calibrated for one segment length; leave out --dynamic or --precision")

    @property
    def gates_of_conversions(self) -> list[str]:
        """The gates that a converted sample has to pass.

        Raises:
            RecipeError: one is not a gate.
        """
        return [text for text in self.gates if Gate.parse(text).family in OF_CONVERSIONS]

    def check_files(self) -> None:
        """Raises RecipeError if a file that an option names is not there."""
        named = {
            "--sample": (self.sample,), "--reference": self.references, "--plan": (self.precision.plan,),
            "--calibration": (self.precision.calibration,),
        }  # fmt: skip
        for option, paths in named.items():
            for path in paths:
                if path is not None and not path.exists():
                    raise RecipeError(f"{option} {path}: no such file")

    @property
    def says_length(self) -> bool:
        return self.frames is not None or self.segment is not None

    def widest(self, hop: int) -> tuple[int, Target] | None:
        """The longest segment in frames of `hop` samples whose samples fit a row of every target, and the target that
        says so; None if none does."""
        limits = [(target.max_width // hop, target) for target in self.targets if target.max_width is not None]
        return min(limits, key=lambda limit: limit[0], default=None)

    def segment_of(self, model: Model, default: float) -> tuple[int, str]:
        """The segment length in frames, and what it follows from where a target limits it; `default` is in seconds.

        Raises:
            RecipeError: see `segment_frames`.
        """
        if model.frame_rate is None:
            if self.says_length or self.dynamic:
                raise RecipeError(f"{self.model}: has no time axis; leave out --segment, --frames and --dynamic")
            return 1, ""
        widest = None if self.says_length else self.widest(model.hop)
        limits = [MAX_FRAMES if self.longest is None else self.longest, *(widest or ())[:1]]
        frames = self.segment_frames(model.frame_rate, model.frame_step, default, min(limits))
        if widest is None:
            return frames, ""
        _, target = widest
        return frames, f"{frames * model.hop} samples in a row, of which {target.name} takes {target.max_width}"

    def segment_frames(
        self, frame_rate: float, step: int = 1, default: float = DEFAULT_SEGMENT_SECONDS, longest: int = MAX_FRAMES
    ) -> int:
        """The segment length in frames, a multiple of `step`; where it is not asked for, `default` in seconds, and at
        most `longest` in frames.

        Raises:
            RecipeError: it is not positive, or longer than MAX_SEGMENT_SECONDS, or a number of frames that `step` does
                not divide.
        """
        most = int(MAX_SEGMENT_SECONDS * frame_rate)
        if self.frames is not None:
            frames, told = self.frames, f"--frames {self.frames}"
        else:
            seconds = default if self.segment is None else self.segment
            told = f"--segment {seconds:g}"
            if not seconds <= MAX_SEGMENT_SECONDS:
                raise RecipeError(f"{told}: at most {MAX_SEGMENT_SECONDS:g} seconds; {WINDOWS}")
            frames = round(seconds * frame_rate / step) * step
            if self.segment is None:
                frames = min(frames, longest // step * step)
        if any(length % step for length in (frames, *self.lengths)):
            raise RecipeError(f"{told}: with a content encoder, segments are multiples of {step} frames")
        least = LEAST_DYNAMIC_FRAMES * step
        if self.dynamic and frames < least:
            raise RecipeError(f"{told}: --dynamic needs a segment of {least} frames or more to trace with")
        if min((frames, *self.lengths)) < 1:
            raise RecipeError(f"{told}: a segment needs at least one frame ({1 / frame_rate:g} s)")
        if frames > most:
            raise RecipeError(f"{told}: at most {most} frames, which are {MAX_SEGMENT_SECONDS:g} seconds; {WINDOWS}")
        return frames

    def place_for(self, target: Target) -> Path:
        """Where the bundle of a target goes."""
        if self.output is None:
            return Path(bundle_name(self.model, target))
        return self.output if len(self.targets) == 1 else self.output / target.name


def bundle_name(model: Path, target: Target) -> str:
    """What a bundle is called that got no name: after the model, in a way that is no option and that a file system
    takes."""
    name = model.absolute().name if model.is_dir() or not model.name else model.stem
    return file_name(name, f"-{target.name}")


def parse_frames(text: str | None) -> tuple[int | None, tuple[int, ...]]:
    """The longest of the numbers in `100,150,200`, which is the segment's length, and the others.

    Raises:
        RecipeError: something else is between the commas.
    """
    if text is None:
        return None, ()
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        raise RecipeError(f"--frames {text}: must be a number of frames, or several with commas between")
    longest, *others = sorted({int(part) for part in parts}, reverse=True)
    return longest, tuple(others)


def parse_sizes(texts: Sequence[str] | None) -> dict[str, int]:
    """The lengths of axes in texts such as `R=400`.

    Raises:
        RecipeError: one is something else.
    """
    sizes = {}
    for text in texts or ():
        name, _, size = text.partition("=")
        if not name or not (size.isascii() and size.isdigit()) or int(size) < 1:
            raise RecipeError(f"--size {text}: give the name of an axis and its length, such as R=400")
        sizes[name] = int(size)
    return sizes
