"""The state that the machine is in while it is measured."""

import sys
from pathlib import Path
from typing import Dict, List

from voxc.compiler.device.agent.machine import output_of, read

SYSFS = Path("/sys")


def conditions() -> Dict[str, str]:
    """Power mode, clocks and temperatures as the OS has them now; one value for each part that has its own."""
    values = mac_conditions() if sys.platform == "darwin" else linux_conditions()
    return {name: value for name, value in values.items() if value}


def mac_conditions() -> Dict[str, str]:
    values = {}
    for line in output_of(["pmset", "-g"]).splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] in ("lowpowermode", "powermode"):
            values[words[0]] = words[1]
    source = output_of(["pmset", "-g", "batt"]).split("'")
    if len(source) > 1:
        values["power_source"] = source[1]
    return values


def linux_conditions() -> Dict[str, str]:
    cpu = "devices/system/cpu/cpufreq/policy*/scaling_"
    return {
        "governor": " ".join(read_all(cpu + "governor")),
        "cpu_clock_mhz": scaled(read_all(cpu + "cur_freq"), 1e3),
        "cpu_clock_max_mhz": scaled(read_all(cpu + "max_freq"), 1e3),
        "gpu_clock_mhz": scaled(read_all("class/devfreq/*.g*/cur_freq"), 1e6),  # 57000000.gpu, 17000000.ga10b
        "temperature_c": scaled(read_all("class/thermal/thermal_zone*/temp"), 1e3),
        "nvpmodel": " ".join(output_of(["nvpmodel", "-q"]).split()),  # Jetson
        "throttled": output_of(["vcgencmd", "get_throttled"]),  # Raspberry Pi
    }


def read_all(pattern: str) -> List[str]:
    """The contents of the files of sysfs that match."""
    return [text for text in (read(str(path)) for path in sorted(SYSFS.glob(pattern))) if text]


def scaled(numbers: List[str], unit: float) -> str:
    return " ".join(f"{int(number) / unit:g}" for number in numbers if number.isdigit())
