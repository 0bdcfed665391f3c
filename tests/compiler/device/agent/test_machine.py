from __future__ import annotations

import sys
from pathlib import Path

import pytest

from voxc.compiler.device.agent import machine


def test_files_and_tools_of_the_os(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"Jetson \xff\n\0")
    assert machine.read(str(tmp_path / "model")) == "Jetson \N{REPLACEMENT CHARACTER}"
    assert machine.read(str(tmp_path / "nothing")) == ""
    assert machine.output_of(["echo", " hello "]) == "hello"
    assert machine.output_of(["sh", "-c", "echo hello; exit 1"]) == ""
    assert machine.output_of(["no-such-program"]) == ""


def test_a_board(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/cpuinfo": "processor : 0\nFeatures : fp asimd asimddp\nModel : Raspberry Pi 5\n",
        "/proc/device-tree/model": "Raspberry Pi 5 Model B",
    }
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "read", lambda path: files[path])
    found = machine.describe_machine()
    assert (found["model"], found["cpu"]) == ("Raspberry Pi 5 Model B", "Raspberry Pi 5")
    assert found["integer_features"] == ["dot product"]


def test_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"hw.model": "Mac15,3", "machdep.cpu.brand_string": "Apple M3", "hw.optional.arm.FEAT_I8MM": "1"}
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(machine, "output_of", lambda command: answers.get(command[-1], ""))
    found = machine.describe_machine()
    assert (found["model"], found["cpu"], found["integer_features"]) == ("Mac15,3", "Apple M3", ["I8MM"])
    assert found["system"].startswith("macOS")
