from __future__ import annotations

from typing import Any

import pytest

from voxc.compiler.core.errors import RecipeError
from voxc.compiler.families.rvc.options import ConvertOptions


@pytest.mark.parametrize(
    "wrong",
    [
        {"speaker": -1}, {"transpose": 36.5}, {"transpose": -40}, {"transpose": float("nan")}, {"index_rate": 1.01},
        {"index_rate": -0.1}, {"protect": 0.51}, {"protect": -0.1}, {"rms_mix": 2}, {"rms_mix": -1}, {"seed": -1},
        {"seed": 1 << 64},
    ],
)  # fmt: skip
def test_values_out_of_range(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(RecipeError, match=f"{name} .*give a value"):
        ConvertOptions(**wrong)


def test_the_ends_of_the_ranges_are_allowed() -> None:
    ConvertOptions(transpose=36, index_rate=1, protect=0.5, rms_mix=1, seed=(1 << 64) - 1)
    ConvertOptions(transpose=-36, index_rate=0, protect=0, rms_mix=0)
