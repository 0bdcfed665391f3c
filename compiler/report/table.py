"""The comparison of bundles: a row for each bundle, a cell for each figure, with how it was obtained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.figure import Figure, without_repetition
from voxc.compiler.core.gates import METRICS, Gate, Rating, rate
from voxc.compiler.manifest import Conversion, Manifest
from voxc.compiler.totals import gated_figures, totals

NO_CONVERSION = "no conversion: the voice was compiled without a content encoder"
COLUMNS = (
    "target", "format", "size", "latency", "latency ratio", "real-time factor", "SNR", "SECS", "F0 correlation", "STOI",
    "evidence",
)  # fmt: skip
#: Explanations of the columns.
MEANINGS = {
    "size": "the artifacts of all components together",
    "latency": "what all components take once, for one segment; an estimate where nothing was measured",
    "latency ratio": "how many times faster they are than PyTorch eager on the same inputs and threads",
    "real-time factor": "time that the conversion takes for each second of sound; below 1 is faster than real time",
    "SNR": "how much louder the sound is than its difference from float32 PyTorch; without a conversion, of "
    "the component that is furthest",
    "SECS": "how close the voice is to the target speaker's: cosine of speaker embeddings, 1 is the same",
    "F0 correlation": "how well the melody follows the source's, 1 is in step",
    "STOI": "how intelligible the sound is compared with float32 PyTorch's, 1 is equal",
    "evidence": "device: the artifact on the target; host: the artifact on the machine that compiled it; "
    "reference: its graph in voxc's interpreter; estimate: a model",
}


@dataclass(frozen=True)
class Cell:
    """A number as text and as it is, `how` it was obtained, its `evidence` (None if there is no number), and its
    `rating`."""

    text: str
    how: str
    evidence: str | None = None
    rating: Rating | None = None
    value: float | None = None

    @classmethod
    def of(cls, figure: Figure | None, name: str = "", reason: str = "not in the manifest") -> Cell:
        """The cell of a figure; `name` is its metric, if that has ratings; `reason` says why there is no figure."""
        if figure is None:
            return cls("-", reason)
        if figure.value is None:
            return cls("-", figure.how)
        rating = rate(name, figure.value) if name in METRICS else None
        unit = "" if figure.unit in UNITLESS else f" {figure.unit}"
        return cls(f"{format_number(figure.value)}{unit}", figure.how, figure.evidence, rating, figure.value)

    def __str__(self) -> str:
        if self.rating:
            return f"{self.text} ({self.rating})"
        return f"{self.text}, estimated" if self.evidence == "estimate" else self.text


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
    whole = totals(bundle.manifest)
    missing = "not in the manifest" if conversion else NO_CONVERSION
    task, fidelity, steps = (conversion.task, conversion.fidelity, conversion.steps) if conversion else ({}, {}, {})
    size = sum(file.bytes for component in build.components for file in component.files)
    formats = dict.fromkeys(component.format for component in build.components)
    figures = (
        Cell.of(whole["latency_ms"]),
        latency_ratio(whole["speedup"], floats_ratio(bundle.manifest)),
        real_time_factor(bundle, Cell.of(without_unit(steps.get("real_time_factor")), reason=missing)),
        Cell.of(fidelity.get("snr") if conversion else furthest(bundle.manifest), "snr", missing),
        Cell.of(task.get("secs"), "secs", missing),
        Cell.of(task.get("f0_correlation"), "f0_correlation", missing),
        Cell.of(fidelity.get("stoi"), "stoi", missing),
    )
    evidence = dict.fromkeys(cell.evidence for cell in figures if cell.evidence)
    return (
        Cell(label, f"build {bundle.manifest.build_digest}"),
        Cell(f"{', '.join(formats)}, {build.recipe.precision}", "what the artifacts are, and what they compute in"),
        Cell(f"{size / 1e6:.3g} MB", f"{size} bytes in the files of {len(build.components)} components", value=size),
        *figures,
        Cell(", ".join(evidence) or "-", MEANINGS["evidence"]),
    )


def latency_ratio(speedup: Figure, over_floats: float | None) -> Cell:
    """How many times faster than PyTorch; if integers do not pay, with the higher ratio of floats beside it.
    `over_floats` is how many times faster than floats, None without integers."""
    cell = Cell.of(speedup)
    if speedup.value is None or over_floats is None or not 0 < over_floats <= 1:
        return cell
    floats = format_number(speedup.value / over_floats)
    return replace(
        cell, text=f"{cell.text}, floats {floats} x", how=f"{cell.how}; no faster than floats on this machine"
    )


def floats_ratio(manifest: Manifest) -> float | None:
    """How many times faster integers are than the same components in floats, all together; None without integers."""
    figures = [component.figures for component in manifest.measurements.components.values()]
    pairs = [(each.get("latency_median"), each.get("floats_latency_median")) for each in figures]
    times = [(own.value, floats.value if floats else own.value) for own, floats in pairs if own and own.value]
    if not any(floats for _, floats in pairs) or len(times) < len(pairs):
        return None
    return sum(floats or 0.0 for _, floats in times) / sum(own for own, _ in times)


def furthest(manifest: Manifest) -> Figure | None:
    """The lowest SNR of all components."""
    ratios = [component.figures["snr"] for component in manifest.measurements.components.values()
              if "snr" in component.figures]  # fmt: skip
    numbers = [each for each in ratios if each.value is not None]
    return min(numbers, key=lambda each: each.value or 0.0) if numbers else next(iter(ratios), None)


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
    """Part, name and cell of all that was measured; figures without a number for the same reason stand together."""
    measured = bundle.manifest.measurements
    conversion = measured.conversion
    parts = {"bundle": totals(bundle.manifest)}
    parts |= {name: dict(component.figures) for name, component in measured.components.items()}
    if conversion:
        parts |= {
            "fidelity": dict(conversion.fidelity),
            "task": dict(conversion.task),
            "conversion": dict(conversion.steps),
        }
    parts["compile"] = dict(measured.compile)
    return [
        (part, names, Cell.of(figure, names))
        for part, figures in parts.items()
        for names, figure in without_repetition(figures)
    ]


def notes(rows: Sequence[Mapping[str, Cell]]) -> dict[str, int]:
    """The reasons why cells have no number, by a number of their own."""
    reasons = dict.fromkeys(cell.how for row in rows for cell in row.values() if cell.text == "-")
    return {reason: number for number, reason in enumerate(reasons, 1)}
