from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.voices import write_tone
from voxc.compiler.calibration.source import Calibration
from voxc.compiler.calibration.write import write_samples
from voxc.compiler.core.errors import TensorError
from voxc.compiler.families.model import Model

FRAMES = 50


def told(message: str) -> None:
    pass


def test_a_synthesizer_alone_gets_inputs_that_nothing_is_measured_on(plain: Model, voice_file: Path) -> None:
    calibration = Calibration(None, plain, FRAMES, 0, told)
    (component,) = plain.components
    assert calibration.source is None
    calls = calibration.samples(component)
    assert calibration.source == "8 segments of 0.5 s that look like speech"
    assert len(calls) == 8
    measured = component.reference_inputs({"T": FRAMES})
    seen = [measured, *calls]
    for name in ("phone", "nsff0", "prior_noise", "source_noise"):
        assert len({call[name].tobytes() for call in seen}) == 9, name


def test_a_voice_that_converts_hears_its_own_sample_once(speaker: Model, speaking_voice: Path) -> None:
    reported: list[str] = []
    calibration = Calibration(None, speaker, FRAMES, 1, reported.append)
    content, _, synthesizer = speaker.components
    first, second, reference = calibration.samples(content)
    assert not np.array_equal(first["audio"], second["audio"])
    np.testing.assert_array_equal(reference["audio"], content.reference_inputs({"T": FRAMES // 2}, 1)["audio"])
    assert calibration.source == "sample.wav, 2 segments of 0.5 s"
    assert calibration.samples(synthesizer)[0]["sid"] == 1
    assert calibration.samples(content)[0] is calibration.samples(content)[0]
    assert any("too little" in warning for warning in calibration.warnings)
    warned = [f"warning: {warning}" for warning in calibration.warnings]
    assert [message for message in reported if message.startswith("warning")] == warned


def test_what_is_given_goes_first(tmp_path: Path, speaker: Model, speaking_voice: Path) -> None:
    write_tone(tmp_path / "tone.wav", 200, 2.0)
    heard = Calibration(tmp_path, speaker, FRAMES, 0, told)
    write_samples(speaking_voice, tmp_path, tmp_path / "calib.npz", frames=FRAMES)
    read = Calibration(tmp_path / "calib.npz", speaker, FRAMES, 0, told)
    for component in speaker.components:
        for call, again in zip(heard.samples(component), read.samples(component), strict=True):
            assert {name: array.dtype for name, array in call.items()} == {n: a.dtype for n, a in again.items()}
            assert all(np.array_equal(array, again[name]) for name, array in call.items())
    assert read.source == "calib.npz"


def test_a_file_that_lacks_a_component(tmp_path: Path, speaker: Model, speaking_voice: Path) -> None:
    np.savez(tmp_path / "calib.npz", **{"content/audio": np.zeros((2, 1, 320 * FRAMES // 2 + 80), np.float32)})
    calibration = Calibration(tmp_path / "calib.npz", speaker, FRAMES, 0, told)
    with pytest.raises(TensorError, match=r"calib\.npz: holds no samples of the synthesizer"):
        calibration.samples(speaker.components[-1])
