from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cpu", "here", "pdp-11"), "argument --cpu: 'pdp-11' matches none of exact, here, "),
        (("--only", "demo-*-int7"), "argument --only: 'demo-*-int7' matches none of demo-onnxruntime-cpu-fp32, "),
        (("--bundle", "left", "right", "--only", "top"), "argument --only: 'top' matches none of left, right"),
    ],
)
def test_a_pattern_without_a_match_is_an_error(
    run_script: Callable[..., None], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_script("other_cpus", *arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
