from __future__ import annotations

from typing import Any

import pytest

from voxc.compiler.core.device_errors import SettingError
from voxc.compiler.device.agent import runtime as module
from voxc.compiler.device.agent.runtime import Runtime


class Plain(Runtime):
    name = "plain"


@pytest.fixture
def plain() -> Runtime:
    return Plain({}, None, None)


@pytest.mark.parametrize(
    ("requested", "target", "threads"),
    [(2, {"threads": 4}, 2), (None, {"threads": 4}, 4), (None, {"threads": None}, 8)],
)
def test_threads_are_those_asked_for_or_the_targets_or_all(
    plain: Runtime, monkeypatch: pytest.MonkeyPatch, requested: int | None, target: dict[str, Any], threads: int
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 8)
    assert plain.use_threads(target, requested) == threads
    assert plain.settings == {"threads": threads}


def test_settings_that_it_lacks(plain: Runtime) -> None:
    plain.refuse_threads(None)
    plain.refuse_units(None)
    with pytest.raises(SettingError, match="threads 2: plain chooses its threads itself"):
        plain.refuse_threads(2)
    with pytest.raises(SettingError, match="compute units ALL: plain has no such setting"):
        plain.refuse_units("ALL")
    unused: Any = None
    with pytest.raises(SettingError, match="build: plain runs the bundle's files as they are"):
        plain.build(unused, {}, unused, unused)
