"""Samples: what each component of a voice is given, call by call; from an NPZ file of anyone's."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxc.compiler.core.axis import TIME, Sizes
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import TensorError
from voxc.compiler.core.tensor import (
    Array,
    TensorSpec,
    accept_inputs,
    axis_length,
    length_of,
    read_npz,
    terms,
    write_npz,
)
from voxc.compiler.core.text import visible
from voxc.compiler.families.model import Model

#: Of noise that is drawn for calibration; fidelity is measured on seed 0.
CALIBRATION_SEED = 1
LEAST_SECONDS = 2.0
ARRAYS_NAME, SOURCE_NAME = "samples.npz", "source.json"

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


def save_samples(samples: Samples, folder: Path) -> None:
    """Writes samples into a directory, for `load_samples`."""
    arrays = {
        f"{component}/{place}/{name}": array
        for component, calls in samples.calls.items()
        for place, call in enumerate(calls)
        for name, array in call.items()
    }
    write_npz(folder / ARRAYS_NAME, arrays)
    (folder / SOURCE_NAME).write_text(json.dumps([samples.source, samples.warnings]), encoding="utf-8")


def load_samples(folder: Path) -> Samples:
    """Raises TensorError or ValueError if that is not what `save_samples` has written."""
    source, warnings = json.loads((folder / SOURCE_NAME).read_text(encoding="utf-8"))
    calls: dict[str, dict[int, dict[str, Array]]] = {}
    for key, array in read_npz(folder / ARRAYS_NAME).items():
        component, place, name = key.split("/")
        calls.setdefault(component, {}).setdefault(int(place), {})[name] = array
    ordered = {component: [each[place] for place in sorted(each)] for component, each in calls.items()}
    return Samples(source, ordered, tuple(warnings))


def read_samples(path: Path, model: Model, frames: int) -> Samples:
    """The samples in an NPZ file with keys `component/input` and arrays [N, ...], a row for each call.

    `frames` is the segment of the model. Rows that last longer are cut into segments, and the rest is not used.
    Noise that the file lacks is drawn. Components that it lacks are left out.

    Raises:
        TensorError: the file is unreadable, or something in it does not fit the model; names the key.
    """
    arrays = read_npz(path)
    refuse_unknown(path, arrays, model)
    calls: dict[str, Sequence[Call]] = {}
    warnings: list[str] = []
    for component in model.components:
        prefix = f"{component.name}/"
        mine = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
        if mine:
            file = ComponentFile(path, component, model.sizes_of(component, frames), mine)
            calls[component.name] = file.calls()
            warnings += file.constants()
    if not calls:
        raise TensorError(f"{path}: is empty; its keys have to be such as {', '.join(keys_of(model))}")
    return Samples(visible(path.name), calls, (*too_few(model, frames, calls), *warnings))


def refuse_unknown(path: Path, arrays: Mapping[str, Array], model: Model) -> None:
    known = keys_of(model)
    for key in arrays:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3, cutoff=0.3) or known
            raise TensorError(
                f"{path}: the model has no input {key!r}; nearest: {', '.join(near)} (keys are component/input)"
            )


def keys_of(model: Model) -> list[str]:
    return [f"{each.name}/{spec.name}" for each in model.components for spec in each.inputs + each.noise]


@dataclass(frozen=True)
class ComponentFile:
    """The arrays of one component, by input; `sizes` are the lengths of its axes in a segment."""

    path: Path
    component: Component
    sizes: Sizes
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
        lengths = {
            terms(dim).axis: (spec.name, axis_length(dim, length))
            for spec in reversed(specs)
            for dim, length in zip(spec.shape, row[spec.name].shape, strict=True)
            if isinstance(dim, str)
        }
        frames = self.sizes.get(TIME, 1)
        name, length = lengths.pop(TIME, ("", frames))
        assert length is not None  # it has been accepted
        if length < frames:
            raise self.error(
                name,
                f"row {number} has {length} frames, the segment {frames}; give longer rows, or shorter segments",
            )
        for axis, (other, size) in lengths.items():
            if size != self.sizes[axis]:
                raise self.error(other, f"row {number} has an axis {axis} of {size}, not of {self.sizes[axis]}")
        for start in range(0, length - frames + 1, frames):
            yield {spec.name: cut(row[spec.name], spec, start, frames) for spec in specs}

    def drawn(self, present: Sequence[TensorSpec], call: int) -> Call:
        """Standard normal noise for the draws that the file lacks."""
        random = np.random.default_rng([CALIBRATION_SEED, call])
        return {
            spec.name: random.standard_normal(spec.bound_shape(self.sizes), np.float32)
            for spec in self.component.noise
            if spec not in present
        }

    def constants(self) -> Iterator[str]:
        """Warnings of inputs that should change in time and do not."""
        for spec in self.component.inputs:
            array = self.arrays[spec.name]
            if TIME in spec.axes and (array == array.flat[0]).all():
                yield (
                    f"{self.path}: {self.component.name}/{spec.name} is {array.flat[0]:g} throughout; ranges that come "
                    "of it are those of that value alone"
                )

    def error(self, name: str, complaint: str) -> TensorError:
        return TensorError(f"{self.path}: {self.component.name}/{name} {complaint}")


def cut(array: Array, spec: TensorSpec, start: int, frames: int) -> Array:
    """`frames` frames of a tensor from frame `start` on."""
    place = []
    for dim in spec.shape:
        if isinstance(dim, str) and terms(dim).axis == TIME:
            first = terms(dim).factor * start
            place.append(slice(first, first + length_of(dim, {TIME: frames})))
        else:
            place.append(slice(None))
    return np.ascontiguousarray(array[tuple(place)])


def too_few(model: Model, frames: int, calls: Mapping[str, Sequence[Call]]) -> tuple[str, ...]:
    """Warnings of components that are heard too little of."""
    seconds = model.seconds_of(frames)
    if seconds is None:
        return ()
    return tuple(
        f"{len(found)} sample{'s' * (len(found) > 1)} of the {name} ({len(found) * seconds:.3g} s) is too little to "
        f"trust the ranges that come of it; give several that last {LEAST_SECONDS:g} s or more in all"
        for name, found in calls.items()
        if len(found) < 2 or len(found) * seconds < LEAST_SECONDS
    )
