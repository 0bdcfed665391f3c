from __future__ import annotations

import sys
from pathlib import Path

import pytest

from voxc.compiler.device.agent import conditions


def test_conditions_of_a_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "devices/system/cpu/cpufreq/policy0/scaling_governor": "schedutil\n",
        "devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1479000\n",
        "devices/system/cpu/cpufreq/policy4/scaling_governor": "performance\n",
        "devices/system/cpu/cpufreq/policy4/scaling_cur_freq": "2400000\n",
        "class/devfreq/57000000.gpu/cur_freq": "921600000\n",
        "class/thermal/thermal_zone0/temp": "46500\n",
        "class/thermal/thermal_zone1/temp": "not now\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(conditions, "SYSFS", tmp_path)
    monkeypatch.setattr(
        conditions, "output_of", lambda command: "NV Power Mode: MAXN\n0" if "nvpmodel" in command else ""
    )
    monkeypatch.setattr(sys, "platform", "linux")
    assert conditions.conditions() == {
        "governor": "schedutil performance",
        "cpu_clock_mhz": "1479 2400",
        "gpu_clock_mhz": "921.6",
        "temperature_c": "46.5",
        "nvpmodel": "NV Power Mode: MAXN 0",
    }


def test_conditions_of_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "pmset -g": "System-wide power settings:\nCurrently in use:\n standby 1\n lowpowermode         0\n",
        "pmset -g batt": "Now drawing from 'AC Power'\n -InternalBattery-0 100%; charged",
    }
    monkeypatch.setattr(conditions, "output_of", lambda command: answers[" ".join(command)])
    monkeypatch.setattr(sys, "platform", "darwin")
    assert conditions.conditions() == {"lowpowermode": "0", "power_source": "AC Power"}
