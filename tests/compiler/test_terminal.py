from __future__ import annotations

import pytest

from voxc.compiler.terminal import plain, progress, show, table


def test_text_from_files_neither_styles_nor_steers(capsys: pytest.CaptureFixture[str]) -> None:
    show("[bold]not bold[/bold] \x1b[31mnot red", table("title", ("a",), [("[red]cell\x1b]0;title\x07",)]))
    printed = capsys.readouterr().out
    assert "[bold]not bold[/bold] [31mnot red" in printed
    assert "[red]cell]0;title" in printed
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
