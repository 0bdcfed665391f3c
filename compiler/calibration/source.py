"""Where the samples of a compile come from: what is given, else recordings that come with the voice, else inputs that
look like speech."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from voxc.compiler.cache.keeper import Keeper
from voxc.compiler.calibration.recordings import SEGMENTS, collect_samples
from voxc.compiler.calibration.samples import CALIBRATION_SEED, Call, Samples, load_samples, read_samples, save_samples
from voxc.compiler.core.component import Component
from voxc.compiler.families.model import Model
from voxc.compiler.request import NPZ_SUFFIX

NOT_KEPT = Keeper()


@dataclass(frozen=True)
class Calibration:
    """The samples of a model for segments of `frames`, found when they are first asked for.

    To what is given, and to recordings, comes one of the inputs that look like speech, of another seed than those that
    fidelity is measured on: synthetic inputs go where recordings do not, and integers have to reach there too.

    `where` is an NPZ file, a recording or a directory of them; None is the voice's sample or the demo voice's for a
    voice that can convert, and each component's reference inputs of other seeds than fidelity is measured on for
    others. `speaker` and `transpose` (semitones) are for recordings. `keeper` keeps the samples; its key tells the
    model.
    """

    where: Path | None
    model: Model
    frames: int
    speaker: int
    report: Callable[[str], None]
    transpose: float = 0.0
    keeper: Keeper = NOT_KEPT

    def samples(self, component: Component) -> list[Call]:
        """Raises VoxcError: see `read_samples` and `collect_samples`; or there are none of this component."""
        calls = list(self.found.of(component.name))
        if self.where is None and not self.model.converts:
            return calls
        return [*calls, component.reference_inputs(self.model.sizes_of(component, self.frames), CALIBRATION_SEED)]

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
        found = self.own.keep("samples", self.find, save_samples, load_samples)
        for warning in found.warnings:
            self.report(f"warning: {warning}")
        return found

    @property
    def own(self) -> Keeper:
        """A keeper of what depends on the samples."""
        where = self.where or self.model.task.sample
        return self.keeper.on("samples", where, self.where is None, self.frames, self.speaker, self.transpose)

    def find(self) -> Samples:
        if self.where is not None and self.where.suffix.lower() == NPZ_SUFFIX:
            return read_samples(self.where, self.model, self.frames)
        if self.where is None and not self.model.converts:
            return representative_samples(self.model, self.frames)
        sample = self.where or self.model.task.sample
        assert sample is not None, "a model that converts brings one"
        return collect_samples(
            self.model, self.frames, sample,
            speaker=self.speaker, transpose=self.transpose, report=self.report,
        )  # fmt: skip


def representative_samples(model: Model, frames: int) -> Samples:
    """Reference inputs of seeds that nothing is measured on."""
    seeds = range(CALIBRATION_SEED, CALIBRATION_SEED + SEGMENTS)
    calls = {
        component.name: [component.reference_inputs(model.sizes_of(component, frames), seed) for seed in seeds]
        for component in model.components
    }
    seconds = model.seconds_of(frames)
    if seconds is None:
        return Samples(f"{SEGMENTS} random inputs", calls)
    return Samples(f"{SEGMENTS} segments of {seconds:g} s that look like speech", calls)
