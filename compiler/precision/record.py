"""What a search found, as files of a bundle: a table, and a plot where matplotlib is there."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from textwrap import wrap

from pydantic import BaseModel, ConfigDict

from voxc.compiler.core.cost import Arithmetic
from voxc.compiler.core.figure import Evidence, Figure, figure
from voxc.compiler.precision.clocks import Clock
from voxc.compiler.precision.search import Search
from voxc.compiler.precision.sensitivity import Sensitivity

FOLDER = "precision"
#: How long lines below a plot are, in characters.
LINE = 95


class TrialRecord(BaseModel):
    """One choice that the search tried: how many layers were integers, and the SNR in dB that PyTorch found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    integers: int
    snr: float | None


class SearchRecord(BaseModel):
    """A component's search: each layer alone, the choices tried, and the layers that became integers in the end.
    `timed` says in what, and on what, layers were timed, or what the estimates are that stand for times; `evidence`
    tells the two apart. `floats` is what layers compute in that are no integers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    component: str
    timed: str
    evidence: Evidence
    floats: Arithmetic
    min_snr: float
    chosen: tuple[str, ...]
    trials: tuple[TrialRecord, ...]
    layers: tuple[Sensitivity, ...]

    @classmethod
    def of(
        cls,
        component: str,
        clock: Clock,
        floats: Arithmetic,
        min_snr: float,
        found: Search,
    ) -> SearchRecord:
        return cls(
            component=component,
            timed=clock.told,
            evidence=clock.evidence,
            floats=floats,
            min_snr=min_snr,
            chosen=tuple(layer.node for layer in found.layers if layer.node in found.trials[-1].chosen),
            trials=tuple(
                TrialRecord(integers=len(trial.chosen), snr=trial.damage.snr if trial.damage.noise > 0 else None)
                for trial in found.trials
            ),
            layers=found.layers,
        )

    def figures(self) -> dict[str, Figure]:
        """What the layers that became integers save, for the manifest: the sum of what each does by itself."""
        integers = [layer for layer in self.layers if layer.node in self.chosen]
        saved, timed = sum(layer.gain for layer in integers), all(layer.float_ms is not None for layer in self.layers)
        what = f"what {len(integers)} of {len(self.layers)} layers save as integers, each by itself, to {self.floats}"
        value, unit = (saved, "ms") if timed else (saved / 1e9, "G MACs")
        return {"saved_by_int8": figure(value, unit, f"{what}: {self.timed}", evidence=self.evidence)}


def write_search(directory: Path, record: SearchRecord) -> list[Path]:
    """The files of a search in a bundle's directory."""
    folder = directory / FOLDER
    folder.mkdir(exist_ok=True)
    table = folder / f"{record.component}.json"
    table.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if find_spec("matplotlib") is None:
        return [table]
    return [table, draw(record, folder / f"{record.component}.png")]


def draw(record: SearchRecord, path: Path) -> Path:
    """A bar for each layer, in the order of the graph: what it costs alone, and how long it takes in each form."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    chosen = set(record.chosen)
    colours = ["tab:blue" if layer.node in chosen else "tab:orange" for layer in record.layers]
    places = range(len(record.layers))
    figure = Figure(figsize=(max(8, 0.09 * len(record.layers)), 7), layout="constrained")
    cost, time = figure.subplots(2, 1, sharex=True)
    if all(layer.noise is None for layer in record.layers):
        cost.text(0.5, 0.5, "not measured: the first choice kept the bound", ha="center", transform=cost.transAxes)
    cost.bar(places, [-(layer.snr or 0) for layer in record.layers], color=colours)
    cost.set_ylabel("noise alone, dB to the signal")
    cost.invert_yaxis()
    cost.set_title(f"{record.component}: {len(chosen)} of {len(record.layers)} layers as integers, "
                   f"at least {record.min_snr:g} dB")  # fmt: skip
    times = [(layer.int8_ms, layer.float_ms) for layer in record.layers]
    if any(None in pair for pair in times):
        time.bar(places, [layer.macs / 1e6 for layer in record.layers], color=colours)
        time.set_ylabel("M multiply-accumulates")
    else:
        time.bar(places, [whole for whole, _ in times], color=colours)
        time.plot(places, [real for _, real in times], "_", color="black")
        time.set_ylabel(f"ms: int8 (bars), {record.floats} (marks)")
    way = "" if record.evidence == "estimate" else "timed with "
    time.set_xlabel("\n".join(wrap(f"layers in the order of the graph; {way}{record.timed}", LINE)))
    cost.legend(handles=[Patch(color="tab:blue", label="int8"), Patch(color="tab:orange", label=record.floats)])
    figure.savefig(path, dpi=110)
    return path
