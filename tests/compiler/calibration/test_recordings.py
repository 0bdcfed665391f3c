from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.voices import write_tone
from voxc.compiler.calibration.recordings import allot, collect_samples, find_recordings, spread
from voxc.compiler.core.errors import AudioError, RecipeError
from voxc.compiler.families.model import Model
from voxc.compiler.families.rvc.files import DEMO, demo_sample, find_voice
from voxc.compiler.families.rvc.options import ConvertOptions
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.runtime.conversion import convert_audio
from voxc.compiler.runtime.eager import EagerRunner, pipeline_of

FRAMES = 50


def starts(frames: int, length: int, most: int) -> list[int]:
    windows = spread(frames, length, most)
    assert all(window.end - window.start == length and window.start % 2 == 0 for window in windows)
    return [window.start for window in windows]


def test_segments_are_spread_evenly_and_lie_within() -> None:
    assert starts(1000, 100, 5) == [50, 250, 450, 650, 850]
    assert starts(250, 100, 8) == [0, 76, 150]
    assert starts(1000, 100, 1) == [450]
    assert starts(30, 100, 8) == [0], "what is shorter than a segment is reflected"
    assert starts(101, 100, 8) == [0], "a second would be the same"


def test_segments_fall_into_recordings_by_their_length(tmp_path: Path) -> None:
    short, long = write_tone(tmp_path / "a.wav", 100, 1.0), write_tone(tmp_path / "b.wav", 100, 3.0)
    assert allot([short, long], 8) == {short: 2, long: 6}
    assert allot([short, long], 1) == {long: 1}


def test_recordings_of_a_directory(tmp_path: Path) -> None:
    for name in ("b.wav", "a.flac"):
        write_tone(tmp_path / name, 100)
    (tmp_path / "notes.txt").write_text("what was said")
    (tmp_path / "more.wav").mkdir()
    assert [path.name for path in find_recordings(tmp_path)] == ["a.flac", "b.wav"]
    with pytest.raises(AudioError, match="a directory without recordings; give one with"):
        find_recordings(tmp_path / "more.wav")


def test_every_component_is_listened_to(tmp_path: Path, speaker: Model) -> None:
    place = write_tone(tmp_path / "tone.wav", 150, 2.0)
    told: list[str] = []
    samples = collect_samples(speaker, FRAMES, place, segments=3, report=told.append)
    assert samples.source == "tone.wav, 3 segments of 0.5 s"
    assert "listening to tone.wav, segment 3 of 3" in told
    assert set(samples.calls) == {"content", "retrieval", "synthesizer"}
    for component in speaker.components:
        calls = samples.of(component.name)
        assert len(calls) == 3
        for call in calls:
            assert set(call) == {spec.name for spec in component.inputs + component.noise}
            for spec in component.inputs + component.noise:
                given = spec.bind(speaker.sizes_of(component, FRAMES)).accept(call[spec.name])
                assert given.dtype == call[spec.name].dtype
        first, second, _ = calls
        assert not any(np.array_equal(first[name], second[name]) for name in first if name not in ("sid", "blend"))
    assert any("0.5 s" not in warning and "too little" in warning for warning in samples.warnings), "1.5 s in all"


def test_what_is_listened_to_is_what_a_conversion_gives(tmp_path: Path, speaker: Model) -> None:
    """A recording as long as one segment, which a conversion surrounds with its reflection."""
    options = ConvertOptions(transpose=4, seed=1)
    samples = collect_samples(speaker, FRAMES, write_tone(tmp_path / "tone.wav", 150, 0.5), transpose=4)
    ((call,), (heard,)) = samples.of("synthesizer"), samples.of("content")
    given: dict[str, np.ndarray] = {}

    class Spy(EagerRunner):
        def run(self, inputs):  # type: ignore[no-untyped-def]
            given.update(inputs)
            return super().run(inputs)

    runners = {component.name: Spy(component) for component in speaker.components}
    sound, rate = soundfile.read(tmp_path / "tone.wav", dtype="float32")
    convert_audio(sound, rate, pipeline_of(speaker, runners, FRAMES), options)
    # The conversion's last window begins at another frame.
    assert np.isin(np.unique(call["pitch"]), np.unique(given["pitch"])).mean() > 0.7
    assert np.abs(heard["audio"]).max() == pytest.approx(np.abs(given["audio"]).max(), rel=0.05)


def test_noise_is_not_what_conversions_are_measured_with(tmp_path: Path, speaker: Model) -> None:
    (call,) = collect_samples(speaker, FRAMES, write_tone(tmp_path / "tone.wav", 150, 0.5)).of("synthesizer")
    pipeline = pipeline_of(
        speaker, {component.name: EagerRunner(component) for component in speaker.components}, FRAMES
    )
    for stream, noise in enumerate(pipeline.chain.noise):
        assert not np.array_equal(call[noise.name], noise.draw(0, stream, 0, FRAMES))
        assert np.array_equal(call[noise.name], noise.draw(1, stream, 0, FRAMES))


def test_the_demo_voice_hears_its_sample() -> None:
    voice = load_voice(find_voice(DEMO))
    samples = collect_samples(voice, 100, demo_sample(), segments=4)
    assert [len(calls) for calls in samples.calls.values()] == [4, 4, 4]
    assert samples.warnings == ()
    for call in samples.of("synthesizer"):
        assert 80 < np.median(call["nsff0"]) < 400
    loudest = [np.abs(call["audio"]).max() for call in samples.of("content")]
    assert 0.3 < min(loudest) < max(loudest) < 1


def test_silence_is_warned_of(tmp_path: Path, speaker: Model) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(16000), 16000)
    warnings = collect_samples(speaker, FRAMES, tmp_path / "silence.wav").warnings
    assert "silence.wav: the recording is silent" in warnings


def test_mistakes_are_named(tmp_path: Path, plain: Model, speaker: Model) -> None:
    tone = write_tone(tmp_path / "tone.wav", 150)
    with pytest.raises(RecipeError, match="--segments 0: give 1 or more"):
        collect_samples(speaker, FRAMES, tone, segments=0)
    with pytest.raises(RecipeError, match="needs a content component"):
        collect_samples(plain, FRAMES, tone)
    with pytest.raises(RecipeError, match="speaker 5: the voice has speakers 0 to 1"):
        collect_samples(speaker, FRAMES, tone, speaker=5)
    with pytest.raises(AudioError, match=r"none\.wav: cannot be read"):
        collect_samples(speaker, FRAMES, tmp_path / "none.wav")
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    with pytest.raises(AudioError, match=r"bad\.wav: not a recording"):
        collect_samples(speaker, FRAMES, tmp_path)
