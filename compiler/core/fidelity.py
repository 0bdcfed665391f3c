"""How close an artifact's output is to float32 PyTorch's on the same inputs and noise."""

from __future__ import annotations

from functools import cache

import numpy as np

Array = np.ndarray

#: What a correct lowering in float32 reaches with room to spare, and a wrong one does not.
LEAST_FLOAT32_SNR_DB = 60.0

MEL_BANDS = 80
WINDOW_SECONDS = 0.04
LOG_FLOOR = 1e-5


def snr_db(reference: Array, output: Array) -> float:
    """Signal to noise in dB, the difference being the noise: inf without a difference, -inf for a non-finite output.

    The signal is what the reference does around its mean: a constant, which a voice of random weights has plenty of,
    would hide noise, and in audio nobody hears it.
    """
    reference, output = reference.astype(np.float64), output.astype(np.float64)
    if not np.isfinite(output).all():
        return -np.inf
    noise = np.sum((reference - output) ** 2)
    signal = np.sum((reference - reference.mean()) ** 2)
    if noise == 0:
        return np.inf
    return float(10 * np.log10(signal / noise)) if signal > 0 else -np.inf


def max_abs_error(reference: Array, output: Array) -> float:
    return float(np.max(np.abs(reference.astype(np.float64) - output.astype(np.float64))))


def mean_abs_error(reference: Array, output: Array) -> float:
    return float(np.mean(np.abs(reference.astype(np.float64) - output.astype(np.float64))))


def log_mel_distance(reference: Array, output: Array, sample_rate: int) -> float:
    """Mean absolute difference of log-mel magnitudes (natural logarithm, 80 HTK bands, 40 ms Hann windows)."""
    difference = log_mel(reference, sample_rate) - log_mel(output, sample_rate)
    return float(np.mean(np.abs(difference)))


def log_mel(audio: Array, sample_rate: int) -> Array:
    """Log-mel magnitudes [windows, MEL_BANDS] of a waveform of any shape, taken as one channel."""
    wave = audio.astype(np.float64).ravel()
    window = round(sample_rate * WINDOW_SECONDS)
    wave = np.pad(wave, (0, max(0, window - wave.size)))
    frames = np.lib.stride_tricks.sliding_window_view(wave, window)[:: window // 4]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(window)))
    return np.log(np.maximum(spectrum @ mel_filters(sample_rate, window), LOG_FLOOR))


@cache
def mel_filters(sample_rate: int, window: int) -> Array:
    """Triangular filters [window // 2 + 1, MEL_BANDS], evenly spaced on HTK's mel scale (2595 log10(1 + f / 700))."""
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MEL_BANDS + 2) / 2595) - 1)
    hertz = np.fft.rfftfreq(window, 1 / sample_rate)[:, np.newaxis]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None)
