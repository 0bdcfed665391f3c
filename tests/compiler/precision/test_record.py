from __future__ import annotations

import json
import struct
from pathlib import Path

import matplotlib.image
import pytest

from tests.compiler.precision.networks import no_runtime
from voxc.compiler.core.target import load_targets
from voxc.compiler.precision import record as module
from voxc.compiler.precision.clocks import estimating
from voxc.compiler.precision.layers import LayerClock
from voxc.compiler.precision.record import FOLDER, SearchRecord, write_search
from voxc.compiler.precision.search import Search, Trial
from voxc.compiler.precision.sensitivity import Sensitivity
from voxc.compiler.precision.subject import Damage


def layer(name: str, noise: float, ms: float | None = 2.0) -> Sensitivity:
    return Sensitivity(
        node=name, module="dec", operator="conv", noise=noise, snr=30.0 if noise else None, log_mel=0.1,
        float_ms=ms, int8_ms=None if ms is None else ms / 4, macs=1_000_000, bytes_saved=300,
    )  # fmt: skip


CLOCK = LayerClock(no_runtime, load_targets()["onnxruntime-cpu"], "a runtime, here")


@pytest.fixture
def record() -> SearchRecord:
    trials = (
        Trial(frozenset({"a", "b", "sum"}), Damage(0.1, None)),
        Trial(frozenset({"b"}), Damage(0.0, None)),
    )
    return SearchRecord.of("synthesizer", CLOCK, "float32", 25.0, Search((layer("a", 0.001), layer("b", 0.0)), trials))


def test_a_record_tells_the_last_choice(record: SearchRecord) -> None:
    assert record.chosen == ("b",)
    assert [(trial.integers, trial.snr) for trial in record.trials] == [(3, pytest.approx(10)), (1, None)]


def test_files_are_written(tmp_path: Path, record: SearchRecord) -> None:
    table, plot = write_search(tmp_path, record)
    assert (table, plot) == (tmp_path / FOLDER / "synthesizer.json", tmp_path / FOLDER / "synthesizer.png")
    assert SearchRecord.model_validate_json(table.read_text()) == record
    assert json.loads(table.read_text())["layers"][0]["node"] == "a"
    height, width, _ = matplotlib.image.imread(plot).shape
    assert struct.unpack(">II", plot.read_bytes()[16:24]) == (width, height)
    assert width > height > 500


def test_a_second_component_has_files_of_its_own(tmp_path: Path, record: SearchRecord) -> None:
    write_search(tmp_path, record)
    write_search(tmp_path, record.model_copy(update={"component": "content"}))
    assert len(list((tmp_path / FOLDER).iterdir())) == 4


def test_no_plot_without_matplotlib(tmp_path: Path, record: SearchRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    (table,) = write_search(tmp_path, record)
    assert [table] == list((tmp_path / FOLDER).iterdir())


def test_the_manifest_gets_what_the_choice_saves(record: SearchRecord) -> None:
    (figure,) = record.figures().values()
    assert (figure.value, figure.unit, figure.evidence) == (1.5, "ms", "host")
    assert "1 of 2 layers save as integers, each by itself, to float32: a runtime, here" in figure.how


def test_estimates_are_called_so_everywhere(tmp_path: Path, record: SearchRecord) -> None:
    """Without peaks there are no milliseconds, in the plot neither."""
    target = load_targets()["apple-ane"]
    rows = (layer("a", 0.001, None), layer("b", 0.0, None))
    trials = (Trial(frozenset({"a", "b"}), Damage(0.1, None)),)
    found = SearchRecord.of("synthesizer", estimating(target), target.arithmetic, 25.0, Search(rows, trials))
    assert (found.evidence, found.floats) == ("estimate", "float16")
    assert found.timed.startswith("estimates, as no runtime of apple-ane is here")
    (figure,) = found.figures().values()
    assert (figure.value, figure.unit, figure.evidence) == (0.002, "G MACs", "estimate")
    assert found.timed in figure.how
    assert len(write_search(tmp_path, found)) == 2
