"""Intelligibility: STOI (Taal et al., 2011), 0 to 1, the correlation of short-time envelopes in one-third octaves."""

from __future__ import annotations

import warnings

from voxc.compiler.core.tensor import Array
from voxc.compiler.measure.quality.clips import SPEECH_RATE, Unmeasurable
from voxc.compiler.measure.quality.needs import describe, load


def how() -> str:
    return f"STOI by {describe('pystoi')}"


def stoi(pair: tuple[Array, Array]) -> float:
    """STOI of equally long reference and candidate audio, both [n] at 16 kHz.

    Raises:
        Unmeasurable: less than 30 frames (0.4 s) of the reference are within 40 dB of its loudest.
        MissingRuntimeError: pystoi is missing.
    """
    measure = load("pystoi").stoi
    with warnings.catch_warnings():
        # pystoi answers 1e-5 and a warning where it has too little to work on.
        warnings.filterwarnings("error", message="Not enough STFT frames", category=RuntimeWarning)
        try:
            return float(measure(*pair, SPEECH_RATE))
        except RuntimeWarning as error:
            raise Unmeasurable("less than 0.4 s of the reference is not silence") from error
