from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from voxc.compiler.networks.mel import HOP, WINDOW, LogMel, mel_triangles


def framed(audio: np.ndarray, frames: int) -> torch.Tensor:
    """What centred frames see of [N] samples: their reflection at the ends."""
    whole = np.pad(audio, WINDOW // 2, mode="reflect")
    return torch.from_numpy(whole[np.newaxis, : HOP * frames + WINDOW - HOP].astype(np.float32))


def test_equals_rmvpe(golden: Path) -> None:
    """In float64 within the 2e-5 that the vectors allow; in float32 direct sums round by a little more than a fast
    transform where a quiet band lies beside a loud one, by how much depends on the number of threads."""
    arrays = load_file(golden / "rmvpe_mel.safetensors")
    expected = torch.from_numpy(arrays["output/log_mel"]).transpose(1, 2)
    mel, audio = LogMel(128, 30, 8000, "htk"), framed(arrays["input/audio"][0], expected.shape[1])
    torch.testing.assert_close(mel(audio), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(mel.double()(audio.double()).float(), expected, atol=2e-5, rtol=0)
    np.testing.assert_allclose(mel_triangles(128, 30, 8000, "htk").T, arrays["state_dict/mel_basis"], atol=1e-8)


def test_a_spectrum_is_that_of_a_fourier_transform() -> None:
    audio = torch.randn(2, HOP * 5 + WINDOW - HOP, generator=torch.Generator().manual_seed(0))
    window = torch.hann_window(WINDOW)
    power = torch.stft(audio, WINDOW, HOP, window=window, center=False, return_complex=True).abs() ** 2
    magnitude = torch.sqrt(power + 0.5).transpose(1, 2)
    expected = torch.log((magnitude @ torch.from_numpy(mel_triangles(40, 0, 8000, "slaney"))).clamp(min=1e-5))
    torch.testing.assert_close(LogMel(40, 0, 8000, "slaney", power_floor=0.5)(audio), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_triangles_have_unit_area(scale: str) -> None:
    triangles = mel_triangles(20, 0, 8000, scale)  # type: ignore[arg-type]
    np.testing.assert_allclose(triangles.sum(axis=0) * 16000 / WINDOW, 1, atol=0.05)


def test_nothing_is_saved() -> None:
    assert not LogMel(8, 0, 8000, "htk").state_dict()
