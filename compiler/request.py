"""What to compile, for what, and how; refused before any work where it cannot come out well."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from voxc.compiler.errors import RecipeError
from voxc.compiler.measure.quality.gates import Gate
from voxc.compiler.precision.recipe import PrecisionRecipe
from voxc.compiler.target import Target
from voxc.compiler.tensor import MAX_FRAMES
from voxc.compiler.voice_files import DEFAULT_INDEX_BUDGET

DEFAULT_SEGMENT_SECONDS = 2.0
# Of a voice that converts recordings: longer segments share more context, and lose less time to it.
CONVERTING_SEGMENT_SECONDS = 4.0
# torch.export takes sizes of 0 and 1, and what comes out as 1, for fixed.
LEAST_DYNAMIC_FRAMES = 3


@dataclass(frozen=True)
class Request:
    """A model, its targets and the options.

    `output` is the bundle for one target, and the directory of bundles for several; without it a bundle is named after
    the model and the target. At most one of `segment` (seconds) and `frames` is given. `threads` of None are the
    target's. `precision` says what to compute in. `content` and `index` go before what lies beside the model;
    `index_budget` is in MiB. `sample` is converted to measure what the bundle sounds like, `reference` is a recording
    of the speaker that it is converted to, and `transpose` is in semitones; None brings the pitch of the one to that
    of the other.
    """

    model: Path
    targets: tuple[Target, ...]
    output: Path | None = None
    segment: float | None = None
    frames: int | None = None
    precision: PrecisionRecipe = field(default_factory=PrecisionRecipe)
    dynamic: bool = False
    threads: int | None = None
    verify_passes: bool = False
    content: Path | None = None
    index: Path | None = None
    index_budget: float = DEFAULT_INDEX_BUDGET
    sample: Path | None = None
    reference: Path | None = None
    speaker: int = 0
    transpose: float | None = None
    gates: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises RecipeError where options contradict each other or a target."""
        if self.segment is not None and self.frames is not None:
            raise RecipeError("--segment and --frames say the same thing twice; give one of them")
        if self.threads is not None and self.threads < 1:
            raise RecipeError(f"--threads must be at least 1, not {self.threads}")
        for text in self.gates:
            Gate.parse(text)
        for target in self.targets:
            policy = self.precision.policy_for(target)
            if self.precision.plan and (self.precision.policy or self.precision.overrides):
                raise RecipeError("--plan says what everything computes in; leave out --precision")
            if self.dynamic and not target.dynamic:
                raise RecipeError(f"target {target.name} needs a fixed segment length; leave out --dynamic")
            if self.dynamic and (policy != "fp32" or self.precision.overrides or self.precision.plan):
                raise RecipeError("integers are calibrated for one segment length; leave out --dynamic or --precision")

    def segment_frames(self, frame_rate: float, step: int = 1, default: float = DEFAULT_SEGMENT_SECONDS) -> int:
        """The segment length in frames, a multiple of `step`; `default` is in seconds.

        Raises:
            RecipeError: it is not positive, or longer than anything a device could hold, or a number of frames that
                `step` does not divide.
        """
        if self.frames is not None:
            frames, told = self.frames, f"--frames {self.frames}"
        else:
            seconds = default if self.segment is None else self.segment
            told = f"--segment {seconds:g}"
            if not seconds * frame_rate <= MAX_FRAMES:
                raise RecipeError(f"{told}: at most {MAX_FRAMES / frame_rate:g} seconds")
            frames = round(seconds * frame_rate / step) * step
        if frames % step:
            raise RecipeError(f"{told}: with a content encoder, segments are multiples of {step} frames")
        least = LEAST_DYNAMIC_FRAMES * step
        if self.dynamic and frames < least:
            raise RecipeError(f"{told}: --dynamic needs a segment of {least} frames or more to trace with")
        if frames < 1:
            raise RecipeError(f"{told}: a segment needs at least one frame ({1 / frame_rate:g} s)")
        if frames > MAX_FRAMES:
            raise RecipeError(f"{told}: at most {MAX_FRAMES} frames")
        return frames

    def place_for(self, target: Target) -> Path:
        """Where the bundle of a target goes."""
        if self.output is None:
            return Path(f"{self.model.stem}-{target.name}")
        return self.output if len(self.targets) == 1 else self.output / target.name
