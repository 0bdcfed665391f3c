from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from voxc.compiler.core.tensor import Array

AUDIO = Path(__file__).resolve().parents[5] / "shared" / "audio"


@pytest.fixture(scope="session")
def recording() -> Callable[[str], tuple[Array, int]]:
    """Real speech by name, as samples and rate; it lives beside the checkout."""
    if not AUDIO.is_dir():
        pytest.skip(f"no recordings at {AUDIO}")

    def read(name: str) -> tuple[Array, int]:
        with wave.open(str(AUDIO / f"{name}.wav")) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
            return samples, file.getframerate()

    return read
