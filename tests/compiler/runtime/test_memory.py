from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# Converts one minute, then three, of a buzz, and prints by how many MiB the second needed more than the first.
SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
import soundfile
from tests.compiler.runtime.standins import tone, whistling
from voxc.compiler.runtime.conversion import convert_file

folder = Path(sys.argv[1])
minute = tone(220, 60, 16000)
peaks = []
for minutes in (1, 3):
    with soundfile.SoundFile(folder / "in.wav", "w", 16000, 1) as file:
        for _ in range(minutes):
            file.write(minute)
    convert_file(folder / "in.wav", folder / "out.wav", whistling(200, hop=400))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(peaks[1] - peaks[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    """Two minutes more are 18 MiB in float32 at 40 kHz, and 7 at 16 kHz."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 8
