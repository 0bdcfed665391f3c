from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.core.figure import Figure
from voxc.compiler.manifest import Manifest, read_manifest
from voxc.compiler.terminal import COUNT, live_progress, plain, progress, show, summary, table


def test_text_from_files_neither_styles_nor_steers(capsys: pytest.CaptureFixture[str]) -> None:
    show("[bold]not bold[/bold] \x1b[31mnot red", table("title", ("a",), [("[red]cell\x1b]0;title\x07",)]))
    printed = capsys.readouterr().out
    assert r"[bold]not bold[/bold] \x1b[31mnot red" in printed
    assert r"[red]cell\x1b]0;title\x07" in printed
    assert "\x1b" not in printed


def test_line_ends_stay() -> None:
    assert str(plain("one\ntwo")) == "one\ntwo"


def test_plain_progress_has_a_line_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as report:
        report("loading")
        report("measuring")
        report("measuring, run 1")
        report("measuring, run 2")
    printed = capsys.readouterr()
    assert [line.partition("] ")[2] for line in printed.err.splitlines()] == ["loading", "measuring"]
    assert not printed.out


def test_live_progress_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What stays of it, which is all that rich prints where there is no terminal."""
    with live_progress() as report:
        report("loading")
        report("[1/4] board: passes")
        report("[3/4] board: measuring, run 2")
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.endswith("done")
    assert "0:00:0" in line


def test_numbers_of_steps_are_read() -> None:
    count = COUNT.match("[12/34] board: passes")
    assert count is not None
    assert (count["number"], count["all"]) == ("12", "34")
    assert COUNT.match("[   1.0 s] loading") is None


def with_ratio(manifest: Manifest, ratio: float) -> Manifest:
    """A manifest whose integers were timed beside floats, on a CPU without VNNI."""
    figure = Figure(value=ratio, unit="x", evidence="host", how="test")
    measured = manifest.measurements.components["synthesizer"]
    component = measured.model_copy(update={"figures": {**measured.figures, "speedup_over_floats": figure}})
    machine = manifest.measurements.machine.model_copy(update={"cpu": "Some CPU", "integer_features": ("AVX2",)})
    measurements = manifest.measurements.model_copy(
        update={"components": {"synthesizer": component}, "machine": machine}
    )
    return manifest.model_copy(update={"measurements": measurements})


def test_integers_that_do_not_pay_here_are_a_note(compiled: Path) -> None:
    manifest = read_manifest(compiled)
    notes = [line for line in summary(compiled, with_ratio(manifest, 0.86)) if "NOTE" in line]
    (note,) = notes
    assert note.endswith("no faster than fp32 on Some CPU (AVX2): 0.86 x; --precision fp32 is faster here")
    assert not [line for line in summary(compiled, with_ratio(manifest, 1.2)) if "NOTE" in line]
