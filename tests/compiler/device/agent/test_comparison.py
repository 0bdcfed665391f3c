from __future__ import annotations

import numpy as np
import pytest

from voxc.compiler.device.agent.comparison import compare


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (np.array([1.0, 2.0, 4.0]), (None, 0.0, 0.0, True)),
        (np.array([1.0, np.nan, 4.0]), (None, None, None, False)),
        (np.array([1.0, 2.0, 4.5]), (12.71, 0.5, 0.5 / 3, False)),
        (np.array([[1.0, 2.0, 4.0625]]), (30.77, 0.0625, 0.0625 / 3, True)),
    ],
)
def test_ratio_and_differences(output: np.ndarray, expected: tuple[float | None, ...]) -> None:
    result = compare({"y": np.array([1.0, 2.0, 4.0])}, {"y": output}, bound=25.0)
    assert list(result) == ["snr_db", "max_abs_error", "mean_abs_error", "passed"]
    assert tuple(result.values()) == pytest.approx(expected, abs=0.01)


def test_the_worst_output_counts() -> None:
    expected = {name: np.array([0.0, 1.0]) for name in ("equal", "bad", "good")}
    outputs = {"equal": np.array([0.0, 1.0]), "bad": np.array([0.0, 1.5]), "good": np.array([0.0, 1.001])}
    result = compare(expected, outputs, bound=25.0)
    assert result["snr_db"] == pytest.approx(3.01, abs=0.01)
    assert result["max_abs_error"] == 0.5
    assert result["mean_abs_error"] == 0.25
    assert not result["passed"]
