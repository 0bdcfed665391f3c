"""Speaker similarity: the cosine of two speaker embeddings (SECS, speaker encoder cosine similarity).

The embeddings are Resemblyzer's: a GE2E speaker encoder (Wan et al., 2018) over 1.6 s windows, averaged, after its own
preprocessing, in which WebRTC's voice activity detector cuts pauses. That leaves loud audio as it is, and the encoder
is sensitive to loudness: half the amplitude costs a recording 0.04 to 0.06 of its similarity to itself. So recordings
are first brought to one level, that of common speech, at which speakers stood as far apart as they did by default.

The weights are a file of the installed package, read by `torch.load` with `weights_only`, its default in every torch
that voxc takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from voxc.compiler.core.tensor import Array
from voxc.compiler.core.threads import torch_threads
from voxc.compiler.measure.quality.clips import LEAST_SECONDS, SPEECH_RATE, Clip, Unmeasurable, speech_pieces
from voxc.compiler.measure.quality.needs import describe, load

LEVEL_DB = -20.0  # RMS, full scale


def how() -> str:
    return f"cosine of speaker embeddings by {describe('resemblyzer')}, levelled to {LEVEL_DB:g} dBFS"


def level(pieces: Sequence[Array]) -> list[Array]:
    """The pieces of a recording with one gain that brings them all together to LEVEL_DB."""
    power = np.mean(np.concatenate(pieces).astype(np.float64) ** 2)
    gain = np.float32(10 ** (LEVEL_DB / 20) / np.sqrt(power))
    return [np.clip(gain * piece, -1, 1) for piece in pieces]


@cache
def encoder() -> Any:
    return load("resemblyzer").VoiceEncoder("cpu", verbose=False)


def embedding(clips: Sequence[Clip]) -> Array:
    """The embedding [256] float32 of one speaker, of length 1, from all pieces of the recordings.

    Raises:
        Unmeasurable: a recording cannot be used, or less than half a second of them all is speech.
        MissingRuntimeError: resemblyzer or soxr is missing.
    """
    if not clips:
        raise Unmeasurable("there is no recording of the target speaker")
    preprocess = load("resemblyzer").preprocess_wav
    spoken = [preprocess(piece) for clip in clips for piece in level(speech_pieces(clip))]
    spoken = [piece for piece in spoken if piece.size >= LEAST_SECONDS * SPEECH_RATE]
    if not spoken:
        raise Unmeasurable(f"{clips[0].name} has less than {LEAST_SECONDS:g} s of speech")
    with torch_threads(1):  # its LSTM is a thousand small steps, and threads would wait for each other at each of them
        result: Array = encoder().embed_speaker(spoken)
    return result


def similarity(first: Array, second: Array) -> float:
    """The cosine of two embeddings of length 1; 0 to 1, as resemblyzer's have no negative elements."""
    return float(np.dot(first.astype(np.float64), second.astype(np.float64)))
