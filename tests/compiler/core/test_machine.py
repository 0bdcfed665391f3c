from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.core import machine
from voxc.compiler.core.machine import integer_features, this_machine
from voxc.compiler.device.agent import machine as device_machine

NO_INTEGERS = "processor : 0\nflags : fpu sse2 avx\n"
AVX2 = "processor : 0\nflags : fpu sse2 avx avx2\n"
SERVER = "processor : 0\nflags : avx2 avx512bw avx512_vnni amx_int8\n"
ARM = "processor : 0\nFeatures : fp asimd asimddp i8mm\n"


@pytest.mark.parametrize(
    ("info", "features"),
    [
        (NO_INTEGERS, ()),
        (AVX2, ("AVX2",)),
        (SERVER, ("AVX2", "AVX-512", "AVX512-VNNI", "AMX-INT8")),
        (ARM, ("dot product", "I8MM")),
    ],
)
def test_integer_features(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, info: str, features: tuple[str, ...]
) -> None:
    (tmp_path / "cpuinfo").write_text(info)
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine.sys, "platform", "linux")
    assert integer_features() == features
    assert this_machine().integer_features == features


def test_the_agent_knows_the_same_features() -> None:
    assert tuple(device_machine.integer_features()) == integer_features()
    assert device_machine.INTEGER_FLAGS == machine.INTEGER_FLAGS
    assert device_machine.MAC_INTEGER_FLAGS == machine.MAC_INTEGER_FLAGS
