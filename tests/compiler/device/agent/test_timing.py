from __future__ import annotations

from typing import Any

from voxc.compiler.device.agent.timing import time_runs


def test_runs_until_the_time_is_over() -> None:
    messages: list[str] = []
    progress: Any = messages.append
    result = time_runs(lambda inputs: {}, {}, runs=50, seconds=0.0, warm_up=3, progress=progress)
    assert result["runs"] == 1
    assert messages == [f"warming up, run {index}" for index in (1, 2, 3)] + ["timing, run 1"]
