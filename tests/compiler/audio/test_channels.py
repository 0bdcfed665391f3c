from __future__ import annotations

import numpy as np
import pytest

from voxc.compiler.audio.channels import CANCELLING, Mixer
from voxc.compiler.core.errors import AudioError
from voxc.compiler.core.tensor import Array

TONE = (0.1 * np.sin(np.arange(1000) / 7)).astype(np.float32)


def mixed(*channels: Array) -> tuple[Array, list[str]]:
    warnings: list[str] = []
    mixer = Mixer("a.wav", 16000, warnings)
    blocks = [mixer.mix(block) for block in np.split(np.stack(channels, 1), 4)]
    return np.concatenate(blocks), warnings


def test_the_mean_is_taken() -> None:
    result, warnings = mixed(TONE, 0 * TONE)
    np.testing.assert_allclose(result, TONE / 2)
    assert not warnings


def test_of_channels_that_cancel_each_other_out_the_first_is_taken() -> None:
    result, warnings = mixed(TONE, -TONE)
    np.testing.assert_array_equal(result, TONE)
    assert warnings == [CANCELLING]


def test_silence_before_does_not_decide() -> None:
    late = np.concatenate([np.zeros(500, np.float32), TONE[:500]])
    result, warnings = mixed(late, -late)
    np.testing.assert_array_equal(result, late)
    assert warnings == [CANCELLING]


def test_what_is_no_sound_is_named() -> None:
    broken = TONE.copy()
    broken[700] = np.nan
    with pytest.raises(AudioError, match=r"a.wav: sample 700 \(at 0.044 s\) is nan"):
        mixed(broken, TONE)
