"""Where the samples of a compile come from: what is given, else recordings that come with the voice, else inputs that
look like speech."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from voxc.compiler.calibration.recordings import SEGMENTS, collect_samples
from voxc.compiler.calibration.samples import CALIBRATION_SEED, Call, Samples, read_samples
from voxc.compiler.core.component import Component
from voxc.compiler.core.model import VoiceModel
from voxc.compiler.voice_files import VoiceFiles, demo_sample

NPZ_SUFFIX = ".npz"


@dataclass(frozen=True)
class Calibration:
    """The samples of a voice for segments of `frames`, found when they are first asked for.

    To what is given, and to recordings, comes one of the inputs that look like speech, of another seed than those that
    fidelity is measured on: synthetic inputs go where recordings do not, and integers have to reach there too.

    `where` is an NPZ file, a recording or a directory of them; None is the voice's sample or the demo voice's for a
    voice that can convert, and each component's reference inputs of other seeds than fidelity is measured on for
    others. `speaker` and `transpose` (semitones) are for recordings.
    """

    where: Path | None
    files: VoiceFiles
    voice: VoiceModel
    frames: int
    speaker: int
    report: Callable[[str], None]
    transpose: float = 0.0

    def samples(self, component: Component) -> list[Call]:
        """Raises VoxcError: see `read_samples` and `collect_samples`; or there are none of this component."""
        calls = list(self.found.of(component.name))
        if self.where is None and self.files.content is None:
            return calls
        return [*calls, component.reference_inputs(self.voice.frames_for(component, self.frames), CALIBRATION_SEED)]

    @property
    def source(self) -> str | None:
        """Where samples came from, for people; None as long as none were asked for."""
        return self.found.source if "found" in vars(self) else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the ranges that were found."""
        return self.found.warnings if "found" in vars(self) else ()

    @cached_property
    def found(self) -> Samples:
        found = self.find()
        for warning in found.warnings:
            self.report(f"warning: {warning}")
        return found

    def find(self) -> Samples:
        if self.where is not None and self.where.suffix.lower() == NPZ_SUFFIX:
            return read_samples(self.where, self.voice, self.frames)
        if self.where is None and self.files.content is None:
            return representative_samples(self.voice, self.frames)
        return collect_samples(
            self.voice, self.frames, self.where or self.files.sample or demo_sample(),
            speaker=self.speaker, transpose=self.transpose, report=self.report,
        )  # fmt: skip


def representative_samples(voice: VoiceModel, frames: int) -> Samples:
    """Reference inputs of seeds that nothing is measured on."""
    seeds = range(CALIBRATION_SEED, CALIBRATION_SEED + SEGMENTS)
    calls = {
        component.name: [component.reference_inputs(voice.frames_for(component, frames), seed) for seed in seeds]
        for component in voice.components
    }
    return Samples(f"{SEGMENTS} segments of {frames / voice.frame_rate:g} s that look like speech", calls)
