"""The comparison of bundles: a row for each bundle, a cell for each figure, with how it was obtained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.figure import Figure
from voxc.compiler.core.gates import METRICS, Gate, Rating, rate
from voxc.compiler.manifest import Conversion
from voxc.compiler.totals import gated_figures

NO_CONVERSION = "no conversion: the voice was compiled without a content encoder"
COLUMNS = (
    "target", "format", "size", "latency ratio", "real-time factor", "SNR", "SECS", "F0 correlation", "STOI",
    "evidence",
)  # fmt: skip
#: Explanations of the columns.
MEANINGS = {
    "size": "the artifacts of all components together",
    "latency ratio": "how many times faster the synthesizer is than PyTorch eager on the same inputs and threads",
    "real-time factor": "time that the conversion takes for each second of sound; below 1 is faster than real time",
    "SNR": "how much louder the sound is than its difference from float32 PyTorch",
    "SECS": "how close the voice is to the target speaker's: cosine of speaker embeddings, 1 is the same",
    "F0 correlation": "how well the melody follows the source's, 1 is in step",
    "STOI": "how intelligible the sound is compared with float32 PyTorch's, 1 is equal",
    "evidence": "device: the artifact on the target; host: the artifact on the machine that compiled it; "
    "reference: its graph in voxc's interpreter; estimate: a model",
}


@dataclass(frozen=True)
class Cell:
    """A number as text, `how` it was obtained, its `evidence` (None if there is no number), and its `rating`."""

    text: str
    how: str
    evidence: str | None = None
    rating: Rating | None = None

    @classmethod
    def of(cls, figure: Figure | None, name: str = "", reason: str = "not in the manifest") -> Cell:
        """The cell of a figure; `name` is its metric, if that has ratings; `reason` says why there is no figure."""
        if figure is None:
            return cls("-", reason)
        if figure.value is None:
            return cls("-", figure.how)
        rating = rate(name, figure.value) if name in METRICS else None
        unit = "" if figure.unit in UNITLESS else f" {figure.unit}"
        return cls(f"{format_number(figure.value)}{unit}", figure.how, figure.evidence, rating)

    def __str__(self) -> str:
        return f"{self.text} ({self.rating})" if self.rating else self.text


def format_number(value: float) -> str:
    """A number with three digits, or more if thousands would need an exponent."""
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"


#: Units that only repeat the name of the figure.
UNITLESS = ("cosine", "Pearson", "STOI", "MOS", "MOS-LQO", "fraction")


#: The steps that may take long.
HEAVY_STEPS = ("content", "f0", "retrieval", "synthesizer")


@dataclass(frozen=True)
class Share:
    """A step of a conversion: its time, and its share of the time of all steps in percent."""

    step: str
    cell: Cell
    percent: float

    @property
    def kind(self) -> str:
        """The name of its colour."""
        return self.step if self.step in HEAVY_STEPS else "other"


@dataclass(frozen=True)
class GateRow:
    """A bound on a figure, the result, and whether it passed; None if there is no result."""

    gate: str
    seen: Cell
    passed: bool | None


def row(label: str, bundle: Bundle) -> tuple[Cell, ...]:
    """The cells of COLUMNS."""
    build, measured = bundle.manifest.build, bundle.manifest.measurements
    conversion = measured.conversion
    synthesizer = measured.components["synthesizer"].figures if "synthesizer" in measured.components else {}
    missing = "not in the manifest" if conversion else NO_CONVERSION
    task, fidelity, steps = (conversion.task, conversion.fidelity, conversion.steps) if conversion else ({}, {}, {})
    size = sum(file.bytes for component in build.components for file in component.files)
    formats = dict.fromkeys(component.format for component in build.components)
    figures = (
        latency_ratio(synthesizer),
        real_time_factor(bundle, Cell.of(without_unit(steps.get("real_time_factor")), reason=missing)),
        Cell.of(fidelity.get("snr"), "snr", missing),
        Cell.of(task.get("secs"), "secs", missing),
        Cell.of(task.get("f0_correlation"), "f0_correlation", missing),
        Cell.of(fidelity.get("stoi"), "stoi", missing),
    )
    evidence = dict.fromkeys(cell.evidence for cell in figures if cell.evidence)
    return (
        Cell(label, f"build {bundle.manifest.build_digest}"),
        Cell(f"{', '.join(formats)}, {build.recipe.precision}", "what the artifacts are, and what they compute in"),
        Cell(f"{size / 1e6:.3g} MB", f"{size} bytes in the files of {len(build.components)} components"),
        *figures,
        Cell(", ".join(evidence) or "-", MEANINGS["evidence"]),
    )


def latency_ratio(figures: Mapping[str, Figure]) -> Cell:
    """How many times faster than PyTorch; if integers do not pay, with the higher ratio of floats beside it."""
    cell = Cell.of(figures.get("speedup"))
    speedup, over_floats = figures.get("speedup"), figures.get("speedup_over_floats")
    if speedup is None or speedup.value is None or over_floats is None or over_floats.value is None:
        return cell
    if not 0 < over_floats.value <= 1:
        return cell
    floats = format_number(speedup.value / over_floats.value)
    return replace(cell, text=f"{cell.text}, floats {floats} x", how=f"{cell.how}; {over_floats.how}")


def without_unit(figure: Figure | None) -> Figure | None:
    """A real-time factor's unit reads as if it were a speed-up."""
    return figure and figure.model_copy(update={"unit": "fraction"})


def real_time_factor(bundle: Bundle, cell: Cell) -> Cell:
    """The factor, but not a time of the compiling machine beside the name of another device."""
    if cell.evidence != "host" or not elsewhere(bundle):
        return cell
    name = bundle.manifest.build.target.name
    return Cell("-", f"not measured: the compiling machine is not a {name}; it took {cell.text} there")


def elsewhere(bundle: Bundle) -> bool:
    """Whether the target is another machine than the one that compiled."""
    machine = bundle.manifest.build.target.capabilities.get("machine")
    return isinstance(machine, str) and machine not in bundle.manifest.measurements.machine.model


def labels(bundles: Sequence[Bundle]) -> list[str]:
    """Names for the bundles: the target, with the directory if that is not unique."""
    names = [bundle.manifest.build.target.name for bundle in bundles]
    return [
        name if names.count(name) == 1 else f"{name} ({bundle.directory.resolve().name})"
        for name, bundle in zip(names, bundles, strict=True)
    ]


def shares(conversion: Conversion) -> list[Share]:
    """The steps of a conversion, the longest first."""
    timed = {step: figure for step, figure in conversion.steps.items() if figure.unit == "s"}
    seconds = {step: max(figure.value or 0.0, 0.0) for step, figure in timed.items()}
    total = sum(seconds.values()) or 1.0
    return [
        Share(step, Cell.of(in_milliseconds(timed[step])), 100 * seconds[step] / total)
        for step in sorted(seconds, key=lambda step: -seconds[step])
    ]


def in_milliseconds(figure: Figure) -> Figure:
    value = None if figure.value is None else min(figure.value * 1e3, 1e300)
    return figure.model_copy(update={"value": value, "unit": "ms"})


def gate_rows(bundle: Bundle) -> list[GateRow]:
    """The gates of the bundle, with results."""
    conversion = bundle.manifest.measurements.conversion
    figures = gated_figures(bundle.manifest)
    rows = []
    for text in bundle.manifest.build.recipe.gates:
        try:
            gate = Gate.parse(text)
        except RecipeError as error:
            rows.append(GateRow(text, Cell("-", str(error)), None))
            continue
        seen = Cell.of(
            figures.get(gate.family, {}).get(gate.name), gate.name, "not measured" if conversion else NO_CONVERSION
        )
        rows.append(GateRow(str(gate), seen, None if seen.evidence is None else gate.failure(figures) is None))
    return rows


def every_figure(bundle: Bundle) -> list[tuple[str, str, Cell]]:
    """Part, name and cell of all that was measured."""
    measured = bundle.manifest.measurements
    conversion = measured.conversion
    parts = {name: component.figures for name, component in measured.components.items()}
    if conversion:
        parts |= {"fidelity": conversion.fidelity, "task": conversion.task, "conversion": conversion.steps}
    parts["compile"] = measured.compile
    return [(part, name, Cell.of(figure, name)) for part, figures in parts.items() for name, figure in figures.items()]
