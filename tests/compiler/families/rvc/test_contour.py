from __future__ import annotations

import numpy as np
import pytest

from voxc.compiler.families.rvc.contour import Contour, coarse_pitch


def test_a_contour_is_interpolated_and_transposed_and_remembers_what_was_voiced() -> None:
    contour = Contour.of(np.array([0.0, 100, 0, 0, 400, 0]), -2, transpose=12)
    np.testing.assert_allclose(contour.hertz, [200, 200, 400, 600, 800, 800])
    assert contour.voiced.tolist() == [False, True, False, False, True, False]
    np.testing.assert_array_equal(contour.pitch, coarse_pitch(contour.hertz))
    np.testing.assert_allclose(contour.phase, [0, 2, 4, 8, 14, 22])
    assert contour.hertz.dtype == np.float32


def test_nothing_voiced_stays_without_pitch() -> None:
    contour = Contour.of(np.zeros(30), 0, transpose=5)
    hertz, pitch, voiced = contour.window(10, 20, 5)
    assert not hertz.any()
    assert not voiced.any()
    assert (pitch == 1).all()


def test_windows_are_in_step_with_the_whole() -> None:
    hertz = 150 + 50 * np.sin(np.arange(500) / 20)
    contour = Contour.of(hertz, -100, transpose=0)
    for start in (-100, -24, 0, 37, 251):
        given, _, _ = contour.window(start, 100, settle=10)
        own = contour.hertz[start + 100 :][:100]
        np.testing.assert_array_equal(given[10:], own[10:])
        assert np.abs(given - own).max() <= 5.001
        late = given[:10].astype(np.float64).sum() / 100 - contour.phase[start + 110]
        assert late == pytest.approx(round(late), abs=1e-5)
