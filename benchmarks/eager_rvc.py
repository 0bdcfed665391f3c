"""The same conversion the straightforward way: RVC's steps on the whole recording, eager PyTorch, faiss on the CPU.

What a user runs today, with nothing done for speed; `conversion.py` times it beside voxc.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import librosa
import numpy as np
import parselmouth
import torch
from scipy import signal
from torch import Tensor, nn
from torch.nn import functional as F

from voxc.compiler.audio.pitch import F0_RANGE
from voxc.compiler.audio.stopwatch import Stopwatch
from voxc.compiler.core.draws import ReplayNoise
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.rvc.contour import coarse_pitch
from voxc.compiler.families.rvc.synthesizer import Synthesizer

RATE, FRAME = 16000, 160
# Seconds, on a machine without a large GPU: the reflection at each end, how far around a cut to look for quiet, how
# often to cut, and what is converted in one piece.
PAD, QUERY, CENTER, MOST = 1, 6, 38, 41
NEIGHBOURS = 8

Draw = Callable[[int, int], list[Tensor]]
"""The noise of a piece: its first frame in the recording, and how many frames it has."""


@dataclass(frozen=True)
class EagerRvc:
    """`encoder` is Hugging Face's own class, `network` a voice at `rate` Hz, `index` as faiss reads it."""

    encoder: nn.Module
    network: Synthesizer
    index: Any
    vectors: Array
    rate: int
    index_rate: float = 0.75
    rms_mix: float = 0.25

    def convert(self, audio: Array, clock: Stopwatch, draw: Draw | None = None) -> Array:
        """float32 [n] at 16 kHz -> float32 [m] at `rate`."""
        with clock("filter"):
            audio = signal.filtfilt(*signal.butter(5, 48, btype="high", fs=RATE), audio)
            cuts = quiet_places(audio)
            padded = np.pad(audio, PAD * RATE, mode="reflect")
        with clock("f0"):
            hertz = pitch_of(padded)
        pieces = []
        for start, end in zip([0, *cuts], [*cuts, len(audio)], strict=True):
            stop = end + 2 * PAD * RATE
            frames = slice(start // FRAME, stop // FRAME)
            piece = self.voice(padded[start:stop], hertz[frames], start // FRAME - PAD * RATE // FRAME, clock, draw)
            pieces.append(piece[PAD * self.rate : -PAD * self.rate])
        with clock("join"):
            joined = np.concatenate(pieces)
        with clock("loudness"):
            joined = joined * loudness_ratio(audio, joined, self.rate) ** (1 - self.rms_mix)
            return joined / max(1, np.abs(joined).max() / 0.99)

    @torch.inference_mode()
    def voice(self, audio: Array, hertz: Array, first: int, clock: Stopwatch, draw: Draw | None) -> Array:
        with clock("content"):
            features = self.encoder(torch.from_numpy(audio).float()[None]).last_hidden_state
        with clock("retrieval"):
            found = torch.from_numpy(self.retrieve(features[0].numpy()))[None]
            blended = found * self.index_rate + (1 - self.index_rate) * features
            phone = F.interpolate(blended.transpose(1, 2), scale_factor=2).transpose(1, 2)
        with clock("synthesizer"):
            frames = min(phone.shape[1], len(audio) // FRAME)
            contour = hertz[np.newaxis, :frames]
            given = phone[:, :frames], torch.from_numpy(coarse_pitch(contour)), torch.from_numpy(contour).float()
            speaker = torch.zeros(1, dtype=torch.int64)
            if draw is None:
                return self.network(*given, speaker)[0, 0].numpy()
            with ReplayNoise(draw(first, frames)):
                return self.network(*given, speaker)[0, 0].numpy()

    def retrieve(self, queries: Array) -> Array:
        distances, numbers = self.index.search(queries, NEIGHBOURS)
        weights = np.square(1 / distances)
        weights /= weights.sum(axis=1, keepdims=True)
        return (self.vectors[numbers] * weights[:, :, None]).sum(axis=1)


def quiet_places(audio: Array) -> list[int]:
    """Where to cut a long recording, at multiples of FRAME: the quietest places near every CENTER seconds."""
    if len(audio) <= MOST * RATE:
        return []
    loudness = np.convolve(np.abs(audio), np.ones(FRAME), mode="same")
    cuts = []
    for center in range(CENTER * RATE, len(audio), CENTER * RATE):
        near = loudness[center - QUERY * RATE : center + QUERY * RATE]
        cuts.append((center - QUERY * RATE + int(near.argmin())) // FRAME * FRAME)
    return cuts


def pitch_of(audio: Array) -> Array:
    """F0 in Hz, one value for each FRAME, interpolated where unvoiced."""
    found = parselmouth.Sound(audio, RATE).to_pitch_ac(
        time_step=FRAME / RATE, voicing_threshold=0.6, pitch_floor=F0_RANGE[0], pitch_ceiling=F0_RANGE[1]
    )
    hertz = found.selected_array["frequency"]
    missing = len(audio) // FRAME - len(hertz)
    hertz = np.pad(hertz, ((missing + 1) // 2, missing - (missing + 1) // 2))
    voiced = np.flatnonzero(hertz)
    return np.interp(np.arange(len(hertz)), voiced, hertz[voiced]) if len(voiced) else hertz


def loudness_ratio(source: Array, result: Array, rate: int) -> Array:
    """RMS of the source over that of the result, half a second at a time, at every sample of the result."""
    contours = []
    for wave, hertz in ((source, RATE), (result, rate)):
        rms = librosa.feature.rms(y=wave, frame_length=hertz, hop_length=hertz // 2)
        contours.append(F.interpolate(torch.from_numpy(rms)[None].float(), size=len(result), mode="linear")[0, 0])
    theirs, own = contours
    return (theirs / own.clamp(min=1e-6)).numpy()
