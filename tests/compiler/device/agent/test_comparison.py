from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from voxc.compiler.device.agent.comparison import compare


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (np.array([1.0, 2.0, 4.0]), {"snr_db": None, "max_abs_error": 0.0, "passed": True}),
        (np.array([1.0, np.nan, 4.0]), {"snr_db": None, "max_abs_error": None, "passed": False}),
        (np.array([1.0, 2.0, 4.5]), {"snr_db": pytest.approx(12.71, abs=0.01), "max_abs_error": 0.5, "passed": False}),
        (np.array([[1.0, 2.0, 4.0625]]), {"snr_db": pytest.approx(30.77, abs=0.01), "max_abs_error": 0.0625,
                                          "passed": True}),
    ],
)  # fmt: skip
def test_ratio_and_difference(output: np.ndarray, expected: dict[str, Any]) -> None:
    assert compare({"y": np.array([1.0, 2.0, 4.0])}, {"y": output}, bound=25.0) == expected


def test_the_worst_output_counts() -> None:
    expected = {name: np.array([0.0, 1.0]) for name in ("equal", "bad", "good")}
    outputs = {"equal": np.array([0.0, 1.0]), "bad": np.array([0.0, 1.5]), "good": np.array([0.0, 1.001])}
    result = compare(expected, outputs, bound=25.0)
    assert result["snr_db"] == pytest.approx(3.01, abs=0.01)
    assert result["max_abs_error"] == 0.5
    assert not result["passed"]
