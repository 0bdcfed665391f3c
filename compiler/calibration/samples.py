"""Samples: what each component of a voice is given, call by call; from an NPZ file of anyone's."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import TensorError
from voxc.compiler.core.model import VoiceModel
from voxc.compiler.core.tensor import Array, TensorSpec, accept_inputs, frame_terms, frames_of, read_npz

#: Of noise that is drawn for calibration; fidelity is measured on seed 0.
CALIBRATION_SEED = 1
LEAST_SECONDS = 2.0

Call = Mapping[str, Array]


@dataclass(frozen=True)
class Samples:
    """Inputs and noise by name, call by call, for each component; `source` says where they are from.

    `warnings` are reasons to doubt ranges that are found on them.
    """

    source: str
    calls: Mapping[str, Sequence[Call]]
    warnings: tuple[str, ...] = ()

    def of(self, component: str) -> Sequence[Call]:
        """Raises TensorError if there are none."""
        if component not in self.calls:
            raise TensorError(
                f"{self.source}: holds no samples of the {component}, which integers need ranges from; "
                f"it has {', '.join(self.calls)}"
            )
        return self.calls[component]


def read_samples(path: Path, voice: VoiceModel, frames: int) -> Samples:
    """The samples in an NPZ file with keys `component/input` and arrays [N, ...], a row for each call.

    `frames` is the segment of the voice. Rows that are longer are cut into segments, and what is left over is not used.
    Noise that the file lacks is drawn. Components that it lacks are left out.

    Raises:
        TensorError: the file is unreadable, or something in it does not fit the voice; names the key.
    """
    arrays = read_npz(path)
    refuse_unknown(path, arrays, voice)
    calls: dict[str, Sequence[Call]] = {}
    warnings: list[str] = []
    for component in voice.components:
        prefix = f"{component.name}/"
        mine = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
        if mine:
            found = ComponentFile(path, component, voice.frames_for(component, frames), mine)
            calls[component.name] = found.calls()
            warnings += found.constants()
    if not calls:
        raise TensorError(f"{path}: is empty; its keys have to be such as {', '.join(keys_of(voice))}")
    source = path.name
    return Samples(source, calls, (*too_few(voice, frames, calls), *warnings))


def refuse_unknown(path: Path, arrays: Mapping[str, Array], voice: VoiceModel) -> None:
    known = keys_of(voice)
    for key in arrays:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3, cutoff=0.3) or known
            raise TensorError(
                f"{path}: the voice has no input {key!r}; nearest: {', '.join(near)} (keys are component/input)"
            )


def keys_of(voice: VoiceModel) -> list[str]:
    return [f"{each.name}/{spec.name}" for each in voice.components for spec in each.inputs + each.noise]


@dataclass(frozen=True)
class ComponentFile:
    """The arrays of one component, by input; `frames` are those of its segments."""

    path: Path
    component: Component
    frames: int
    arrays: Mapping[str, Array]

    def calls(self) -> list[Call]:
        """Raises TensorError: see `read_samples`."""
        present = [spec for spec in self.component.noise if spec.name in self.arrays]
        specs = (*self.component.inputs, *present)
        calls: list[Call] = []
        for number in range(self.rows()):
            row = self.row(specs, number)
            for segment in self.segments(specs, row, number):
                calls.append({**segment, **self.drawn(present, len(calls))})
        return calls

    def rows(self) -> int:
        """How many rows all arrays have."""
        missing = [spec.name for spec in self.component.inputs if spec.name not in self.arrays]
        if missing:
            raise self.error(missing[0], "is missing, where other inputs of the component are given")
        counts = {name: len(array) if array.ndim else 0 for name, array in self.arrays.items()}
        for name, count in counts.items():
            if not count:
                raise self.error(name, "holds no rows; its first axis is the number of calls")
            if count != max(counts.values()):
                most = max(counts, key=lambda each: counts[each])
                raise self.error(name, f"has {count} rows, {self.component.name}/{most} has {counts[most]}")
        return max(counts.values())

    def row(self, specs: Sequence[TensorSpec], number: int) -> Call:
        """One call's arrays, checked and cast."""
        try:
            row = accept_inputs(specs, {spec.name: self.arrays[spec.name][number] for spec in specs})
        except TensorError as error:
            raise TensorError(f"{self.path}: {self.component.name}, row {number}: {error}") from error
        for name, array in row.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise self.error(name, f"row {number} has values that are not finite numbers")
        return row

    def segments(self, specs: Sequence[TensorSpec], row: Call, number: int) -> Iterator[Call]:
        """A row, cut into segments."""
        lengths = [
            (spec.name, frames_of(size, given))
            for spec in specs
            for size, given in zip(spec.shape, row[spec.name].shape, strict=True)
            if isinstance(size, str)
        ]
        if not lengths:
            yield row
            return
        name, length = lengths[0]
        assert length is not None  # it has been accepted
        if length < self.frames:
            raise self.error(
                name,
                f"row {number} has {length} frames, the segment {self.frames}; give longer rows, or shorter segments",
            )
        for start in range(0, length - self.frames + 1, self.frames):
            yield {spec.name: cut(row[spec.name], spec, start, self.frames) for spec in specs}

    def drawn(self, present: Sequence[TensorSpec], call: int) -> Call:
        """Standard normal noise for the draws that the file lacks."""
        random = np.random.default_rng([CALIBRATION_SEED, call])
        return {
            spec.name: random.standard_normal(spec.sizes(self.frames), np.float32)
            for spec in self.component.noise
            if spec not in present
        }

    def constants(self) -> Iterator[str]:
        """Warnings of inputs that should change in time and do not."""
        for spec in self.component.inputs:
            array = self.arrays[spec.name]
            if any(isinstance(size, str) for size in spec.shape) and (array == array.flat[0]).all():
                yield (
                    f"{self.path}: {self.component.name}/{spec.name} is {array.flat[0]:g} throughout; ranges that come "
                    "of it are those of that value alone"
                )

    def error(self, name: str, complaint: str) -> TensorError:
        return TensorError(f"{self.path}: {self.component.name}/{name} {complaint}")


def cut(array: Array, spec: TensorSpec, start: int, frames: int) -> Array:
    """`frames` frames of a tensor from frame `start` on."""
    place = []
    for size in spec.shape:
        factor, offset = frame_terms(size) if isinstance(size, str) else (0, 0)
        whole = not isinstance(size, str)
        place.append(slice(None) if whole else slice(factor * start, factor * (start + frames) + offset))
    return np.ascontiguousarray(array[tuple(place)])


def too_few(voice: VoiceModel, frames: int, calls: Mapping[str, Sequence[Call]]) -> tuple[str, ...]:
    """Warnings of components that are heard too little of."""
    each = frames / voice.frame_rate
    return tuple(
        f"{len(found)} sample{'s' * (len(found) > 1)} of the {name} ({len(found) * each:.3g} s) is too little to trust "
        f"the ranges that come of it; give several that last {LEAST_SECONDS:g} s or more in all"
        for name, found in calls.items()
        if len(found) < 2 or len(found) * each < LEAST_SECONDS
    )
