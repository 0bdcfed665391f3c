from __future__ import annotations

import time

import pytest

from voxc.compiler.device.agent import progress
from voxc.compiler.device.agent.progress import Progress


def test_every_step_and_few_lines_within_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [10.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tell = Progress("content")
    for message, seconds in (("loading", 0), ("timing, run 1", 0), ("timing, run 2", progress.EVERY / 2),
                             ("timing, run 3", progress.EVERY), ("comparing", 0)):  # fmt: skip
        now[0] += seconds
        tell(message)
    assert capsys.readouterr().err.splitlines() == [
        f"voxc-agent: content: {message}" for message in ("loading", "timing, run 1", "timing, run 3", "comparing")
    ]
