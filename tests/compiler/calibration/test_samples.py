from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from voxc.compiler.calibration.samples import Call, Samples, read_samples
from voxc.compiler.core.errors import TensorError
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.model import Model

FRAMES = 100
Arrays = dict[str, Array]


def written(voice: Model, calls: int = 3, frames: int = FRAMES, noise: bool = True) -> Arrays:
    """Reference inputs of a synthesizer, as they stand in a file."""
    (component,) = voice.components
    rows = [component.reference_inputs({"T": frames}, seed) for seed in range(1, calls + 1)]
    names = [spec.name for spec in component.inputs + component.noise * noise]
    return {f"synthesizer/{name}": np.stack([row[name] for row in rows]) for name in names}


def read(place: Path, voice: Model, arrays: Arrays) -> Samples:
    path = place / "calib.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return read_samples(path, voice, FRAMES)


def test_rows_are_calls(tmp_path: Path, plain: Model) -> None:
    arrays = written(plain)
    samples = read(tmp_path, plain, arrays)
    assert samples.source == "calib.npz"
    assert samples.warnings == ()
    calls = samples.of("synthesizer")
    assert len(calls) == 3
    for number, call in enumerate(calls):
        assert {f"synthesizer/{name}" for name in call} == set(arrays)
        assert all(np.array_equal(array, arrays[f"synthesizer/{name}"][number]) for name, array in call.items())


def test_noise_is_drawn_where_there_is_none(tmp_path: Path, plain: Model) -> None:
    arrays = written(plain, noise=False)
    first, again = (read(tmp_path, plain, arrays).of("synthesizer") for _ in range(2))
    (component,) = plain.components
    measured = component.reference_inputs({"T": FRAMES})
    for spec in component.noise:
        drawn = [call[spec.name] for call in first]
        assert all(spec.bind({"T": FRAMES}).accept(each).std() == pytest.approx(1, abs=0.2) for each in drawn)
        assert all(np.array_equal(each, call[spec.name]) for each, call in zip(drawn, again, strict=True))
        assert not np.array_equal(drawn[0], drawn[1])
        assert not any(np.array_equal(each, measured[spec.name]) for each in drawn)


def test_longer_rows_are_cut_into_segments(tmp_path: Path, plain: Model) -> None:
    arrays = written(plain, calls=2, frames=2 * FRAMES + 30)
    calls = read(tmp_path, plain, arrays).of("synthesizer")
    assert len(calls) == 4
    (component,) = plain.components
    for call in calls:
        for spec in component.inputs + component.noise:
            spec.bind({"T": FRAMES}).accept(call[spec.name])
    assert np.array_equal(calls[3]["phone"], arrays["synthesizer/phone"][1, :, FRAMES : 2 * FRAMES])
    noise = arrays["synthesizer/source_noise"][1, :, plain.hop * FRAMES : 2 * plain.hop * FRAMES]
    assert np.array_equal(calls[3]["source_noise"], noise)


def test_segments_of_audio_reach_as_far_as_the_encoder_hears(tmp_path: Path, speaker: Model) -> None:
    audio = np.random.default_rng(0).standard_normal((1, 1, 320 * FRAMES + 80)).astype(np.float32)
    (first, second) = read(tmp_path, speaker, {"content/audio": audio}).of("content")  # two content frames each
    assert first["audio"].shape == second["audio"].shape == (1, 320 * FRAMES // 2 + 80)
    assert np.array_equal(second["audio"], audio[0, :, 320 * FRAMES // 2 :])


def test_components_may_be_left_out_until_they_are_asked_for(tmp_path: Path, speaker: Model) -> None:
    samples = read(tmp_path, speaker, {"content/audio": np.zeros((2, 1, 320 * FRAMES + 80), np.float32)})
    with pytest.raises(TensorError, match=r"calib\.npz: holds no samples of the synthesizer.*it has content"):
        samples.of("synthesizer")


def changed(name: str, change: Callable[[Array], Array]) -> Callable[[Arrays], Arrays]:
    key = f"synthesizer/{name}"
    return lambda arrays: arrays | {key: change(arrays[key])}


def without(name: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {key: array for key, array in arrays.items() if key != f"synthesizer/{name}"}


def spoilt(array: Array) -> Array:
    copy = array.copy()
    copy[1].flat[5] = np.nan
    return copy


MISTAKES: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "wrong key": (
        lambda arrays: {key.replace("phone", "phones"): array for key, array in arrays.items()},
        r"no input 'synthesizer/phones'; nearest: synthesizer/phone,.*component/input",
    ),
    "no component": (
        lambda arrays: {key.removeprefix("synthesizer/"): array for key, array in arrays.items()},
        r"no input '\w+'; nearest: .*synthesizer/\w+",
    ),
    "missing": (without("pitch"), r"synthesizer/pitch is missing"),
    "empty": (lambda arrays: {}, r"is empty; its keys have to be such as synthesizer/phone"),
    "other count": (changed("phone", lambda array: array[:2]), r"synthesizer/phone has 2 rows, synthesizer/\w+ has 3"),
    "no rows": (changed("phone", lambda array: array[:0]), r"synthesizer/phone holds no rows"),
    "a number": (changed("phone", lambda array: np.float32(3)), r"synthesizer/phone holds no rows"),
    "shape": (
        changed("phone", lambda array: array[..., :-1]),
        r"synthesizer, row 0: phone: shape \[1, 100, 767\], the component takes",
    ),
    "no axis of calls": (changed("phone", lambda array: array[:, 0]), r"synthesizer, row 0: phone: shape \[100, 768\]"),
    "dtype": (changed("pitch", lambda array: array + 0.5), r"row 0: pitch: the float64 values do not fit int64"),
    "text": (changed("pitch", lambda array: array.astype("U4")), r"row 0: pitch: <U4 values"),
    "bounds": (changed("pitch", lambda array: array * 0), r"row 0: pitch: 0 to 0, the component takes F0"),
    "not a number": (changed("phone", spoilt), r"synthesizer/phone row 1 has values that are not finite"),
    "frames disagree": (changed("pitch", lambda array: array[..., :-1]), r"row 0: inputs disagree on the number of"),
    "objects": (changed("pitch", lambda array: array.astype(object)), r"not a readable NPZ file"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_does_not_fit_is_named(tmp_path: Path, plain: Model, mistake: str) -> None:
    change, complaint = MISTAKES[mistake]
    with pytest.raises(TensorError, match=complaint) as caught:
        read(tmp_path, plain, change(written(plain)))
    assert str(caught.value).startswith(str(tmp_path / "calib.npz"))


def test_shorter_rows_are_refused(tmp_path: Path, plain: Model) -> None:
    with pytest.raises(TensorError, match=r"synthesizer/phone row 0 has 60 frames, the segment 100; give longer rows"):
        read(tmp_path, plain, written(plain, frames=60))


def test_no_such_file(tmp_path: Path, plain: Model) -> None:
    with pytest.raises(TensorError, match="not a readable NPZ file"):
        read_samples(tmp_path / "none.npz", plain, FRAMES)


def test_too_little_is_warned_of(tmp_path: Path, plain: Model) -> None:
    (warning,) = read(tmp_path, plain, written(plain, calls=1)).warnings
    assert warning.startswith("1 sample of the synthesizer (1 s) is too little to trust")
    assert read(tmp_path, plain, written(plain, calls=2)).warnings == ()


def test_constant_inputs_are_warned_of(tmp_path: Path, plain: Model) -> None:
    arrays = changed("nsff0", np.zeros_like)(written(plain))
    (warning,) = read(tmp_path, plain, arrays).warnings
    assert "synthesizer/nsff0 is 0 throughout" in warning, "and not the speaker, who stays the same"


def test_samples_have_a_source_in_their_errors() -> None:
    calls: list[Call] = []
    with pytest.raises(TensorError, match="mine: holds no samples of the content"):
        Samples("mine", {"synthesizer": calls}).of("content")
