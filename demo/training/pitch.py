"""F0 as RVC's `pm` method reads it, without gaps."""

from __future__ import annotations

import numpy as np
import parselmouth

RATE, HOP = 16000, 160
LOW, HIGH, VOICING_THRESHOLD = 50.0, 1100.0, 0.6


def read_f0(audio: np.ndarray, frames: int, low: float = LOW, high: float = HIGH) -> np.ndarray:
    """audio float [samples] at 16 kHz -> F0 in Hz, float32 [frames] at 100 a second, 0 where unvoiced.

    Praat's frames stand in the middle of the sound; what is missing at both ends is unvoiced.
    """
    found = parselmouth.Sound(audio.astype(np.float64), RATE).to_pitch_ac(
        time_step=HOP / RATE, voicing_threshold=VOICING_THRESHOLD, pitch_floor=low, pitch_ceiling=high
    )
    f0 = found.selected_array["frequency"][:frames]
    before = (frames - len(f0) + 1) // 2
    return np.pad(f0, (before, frames - len(f0) - before)).astype(np.float32)


def bridge(f0: np.ndarray) -> np.ndarray:
    """Straight lines over the unvoiced frames, level at the ends; a wholly unvoiced contour stays zero."""
    voiced = np.flatnonzero(f0)
    return np.interp(np.arange(len(f0)), voiced, f0[voiced]).astype(np.float32) if len(voiced) else f0
