"""How a voice sounds: a recording converted by the artifacts, and by float32 PyTorch on the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxc.compiler.audio.sound import Recording, SoundArray, SoundFile
from voxc.compiler.audio.write import write_sound
from voxc.compiler.cache.keeper import Keeper
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.figure import Evidence, Figure, figure
from voxc.compiler.core.tensor import Array, read_npz, write_npz
from voxc.compiler.core.text import visible
from voxc.compiler.families.model import Model
from voxc.compiler.manifest import Conversion, FileRecord
from voxc.compiler.measure.quality import f0, families
from voxc.compiler.measure.quality.clips import Clip
from voxc.compiler.runtime.conversion import ConvertReport, convert_audio
from voxc.compiler.runtime.eager import eager_pipeline
from voxc.compiler.runtime.pipeline import Pipeline

MOST_SECONDS = 30.0
AUDIO_NAME = "audio"
SOUND_NAME = "sound.npz"
NOT_KEPT = Keeper()


@dataclass(frozen=True)
class Sound:
    """Mono float32 `samples` [n] at `rate` Hz, and the name of the file that they are from."""

    name: str
    samples: Array
    rate: int

    @property
    def recording(self) -> Recording:
        """The same, to be decoded block by block."""
        return SoundArray(self.samples, self.rate)

    @classmethod
    def read(cls, path: Path) -> Sound:
        """The first MOST_SECONDS of a recording. Raises AudioError if there is none."""
        blocks: list[Array] = []
        with SoundFile(path) as recording:
            most = round(MOST_SECONDS * recording.rate)
            for block in recording.blocks():
                blocks.append(block)
                if sum(map(len, blocks)) >= most:
                    break
            return cls(visible(path.name), np.concatenate(blocks or [np.zeros(0, np.float32)])[:most], recording.rate)


def save_audio(audio: Array, folder: Path) -> None:
    write_npz(folder / SOUND_NAME, {"audio": audio})


def load_audio(folder: Path) -> Array:
    return read_npz(folder / SOUND_NAME)["audio"]


@dataclass(frozen=True)
class Trial:
    """A recording to convert, the options, and float32 PyTorch's result; `references` are of the target speaker."""

    sample: Sound
    references: tuple[Sound, ...]
    options: Any
    expected: Array

    @classmethod
    def of(
        cls,
        model: Model,
        frames: int,
        sample: Path,
        references: Sequence[Path],
        *,
        speaker: int,
        transpose: float | None,
        keeper: Keeper = NOT_KEPT,
    ) -> Trial:
        """Converts `sample` with eager PyTorch; a `transpose` of None is the difference in pitch to the first
        reference. `keeper` keeps the result; its key tells all the others.

        Raises:
            VoxcError: see `convert_audio`.
        """
        source, targets = Sound.read(sample), tuple(map(Sound.read, references))
        if transpose is None:
            transpose = semitones_between(source, targets[0]) if targets else 0.0
        pipeline = eager_pipeline(model, frames)
        options = pipeline.chain.Options(speaker=speaker, transpose=transpose)

        def make() -> Array:
            others = [target.recording for target in targets]
            return convert_audio(source.samples, source.rate, pipeline, options, references=others)[0]

        expected = keeper.keep("conversions", make, save_audio, load_audio)
        return cls(source, targets, options, expected)

    def measure(
        self, pipeline: Pipeline, directory: Path, runtime: str, *, untimed: str = "", evidence: Evidence = "host"
    ) -> Conversion:
        """Converts the sample with the artifacts, writes the sounds into `directory`, and compares.

        `untimed` is the reason why times on this machine are not the target's. Figures that are estimates name the
        `runtime` that they come from.
        """
        others = [reference.recording for reference in self.references]
        converted, report = convert_audio(
            self.sample.samples, self.sample.rate, pipeline, self.options, references=others
        )
        rate = pipeline.chain.sample_rate
        references = [(reference.samples, reference.rate) for reference in self.references]
        by = runtime if evidence == "estimate" else ""
        task = families.task(
            converted,
            rate,
            self.sample.samples,
            self.sample.rate,
            references,
            self.options.transpose,
            evidence=evidence,
        )
        return Conversion(
            sample=self.sample.name,
            options=asdict(self.options),
            fidelity=with_runtime(by, families.fidelity(self.expected, converted, rate, evidence=evidence)),
            task=with_runtime(by, task),
            steps=missing_steps(report, untimed) if untimed else steps(report, runtime),
            audio=self.write(converted, rate, directory),
        )

    def write(self, converted: Array, rate: int, directory: Path) -> dict[str, FileRecord]:
        folder = directory / AUDIO_NAME
        folder.mkdir()
        sounds = {
            "source": (self.sample.samples, self.sample.rate),
            "float32": (self.expected, rate),
            "converted": (converted, rate),
        }
        if self.references:
            sounds["target"] = self.references[0].samples, self.references[0].rate
        for name, (samples, hertz) in sounds.items():
            write_sound(folder / f"{name}.flac", [samples], hertz, len(samples))
        return {name: FileRecord.of(directory, folder / f"{name}.flac") for name in sounds}


def with_runtime(runtime: str, figures: dict[str, Figure]) -> dict[str, Figure]:
    """The figures, with the runtime in their `how` if it is not empty."""
    how = {name: f"{figure.how}; {runtime}" for name, figure in figures.items()} if runtime else {}
    return {name: figure.model_copy(update={"how": how.get(name, figure.how)}) for name, figure in figures.items()}


def steps(report: ConvertReport, runtime: str) -> dict[str, Figure]:
    """Where the time of a conversion went."""
    how = f"wall clock of one conversion of {report.seconds:.2f} s, {runtime}"
    return {
        **{step: figure(seconds, "s", how) for step, seconds in report.steps.items()},
        "real_time_factor": figure(report.real_time_factor, "x", f"{how}; below 1 is faster than real time"),
    }


def missing_steps(report: ConvertReport, reason: str) -> dict[str, Figure]:
    """The same figures without numbers."""
    units = dict.fromkeys(report.steps, "s") | {"real_time_factor": "x"}
    return {step: Figure(value=None, unit=unit, evidence=None, how=reason) for step, unit in units.items()}


def semitones_between(source: Sound, target: Sound) -> float:
    """From the median pitch of one recording to that of the other, in whole semitones.

    Raises:
        RecipeError: one has no pitch.
    """
    here, there = median_pitch(source), median_pitch(target)
    return float(round(12 * np.log2(there / here)))


def median_pitch(sound: Sound) -> float:
    """In Hz."""
    clip = Clip(sound.name, sound.samples, sound.rate)
    contour = f0.contour(clip.speech(0, clip.seconds))
    if not contour.any():
        raise RecipeError(f"{sound.name}: has no voiced speech to take the pitch from; give --transpose")
    return float(np.median(contour[contour > 0]))
