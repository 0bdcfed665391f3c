from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from voxc.compiler.core.errors import InputError, RecipeError
from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.core.target import Target
from voxc.compiler.request import Request, parse_frames


def request(target: Target, **options: Any) -> Request:
    return Request(Path("voices/anna.pth"), (target,), **options)


@pytest.mark.parametrize(
    ("options", "frames"), [({}, 200), ({"segment": 0.5}, 50), ({"segment": 0.014}, 1), ({"frames": 7}, 7)]
)
def test_segment_lengths(target: Target, options: dict[str, float], frames: int) -> None:
    assert request(target, **options).segment_frames(100.0) == frames


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"segment": 0.0}, "--segment 0: a segment needs at least one frame"),
        ({"segment": -1.0}, "at least one frame"),
        ({"segment": float("nan")}, "at most"),
        ({"segment": float("inf")}, "at most"),
        ({"segment": 60.1}, "at most 60 seconds; recordings of any length are converted in segments"),
        ({"frames": 0}, "--frames 0"),
        ({"frames": 2, "dynamic": True}, "--dynamic needs a segment of 3 frames"),
        ({"frames": 6001}, "at most 6000 frames, which are 60 seconds"),
        ({"frames": 10, "segment": 1.0}, "give one of them"),
        ({"threads": 0}, "--threads must be at least 1"),
        ({"speaker": -1}, "--speaker -1: speakers are counted from 0"),
        ({"transpose": 99.0}, "--transpose 99: give -36 to 36 semitones"),
        ({"transpose": float("nan")}, "--transpose nan"),
        ({"gates": ("secs",)}, "gate 'secs': write it as 'secs>=0.8'"),
        ({"precision": PrecisionRecipe(policy="int4")}, "no precision 'int4' .*; it has fp32"),
        ({"precision": PrecisionRecipe(policy="int8", plan=Path("p"))}, "--plan says what everything computes in"),
        ({"precision": PrecisionRecipe(policy="int8"), "dynamic": True}, "calibrated for one segment length"),
    ],
)
def test_options_that_cannot_work(target: Target, options: dict[str, float], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        request(target, **options).check()
        request(target, **options).segment_frames(100.0)


def test_emulation_needs_something_to_emulate(target: Target) -> None:
    board = target.model_copy(update={"name": "board", "precisions": ("fp32",), "emulated": {"int8": "w8"}})
    int8, plain = (PrecisionRecipe(policy=policy, allow_emulated=True) for policy in ("int8", None))
    request(board, precision=int8).check()
    Request(Path("anna.pth"), (target, board), precision=int8).check()
    request(board, precision=PrecisionRecipe(plan=Path("plan.json"), allow_emulated=True)).check()
    with pytest.raises(RecipeError, match="onnxruntime-cpu computes in int8 itself; leave out --allow-emulated"):
        request(target, precision=int8).check()
    with pytest.raises(RecipeError, match="target board computes in fp32 itself; it emulates int8"):
        request(board, precision=plain).check()


def test_segments_are_multiples_of_the_slowest_components_frames(target: Target) -> None:
    assert request(target, segment=0.333).segment_frames(100.0, step=2) == 34
    assert request(target).segment_frames(100.0, step=2, default=4.0) == 400
    with pytest.raises(RecipeError, match="--frames 33: with a content encoder, segments are multiples of 2 frames"):
        request(target, frames=33).segment_frames(100.0, step=2)
    with pytest.raises(RecipeError, match="--dynamic needs a segment of 6 frames"):
        request(target, frames=4, dynamic=True).segment_frames(100.0, step=2)


@pytest.mark.parametrize(
    ("precision", "fits"), [(["fp16"], True), (["fp16", "dec.*=fp32"], True), (["fp16", "dec.*=int8"], False)]
)
def test_floats_of_any_length_need_no_calibration(target: Target, precision: list[str], fits: bool) -> None:
    asked = request(target, precision=PrecisionRecipe().with_options(precision), dynamic=True)
    if fits:
        asked.check()
        return
    with pytest.raises(RecipeError, match="calibrated for one segment length"):
        asked.check()


def test_a_target_without_dynamic_sizes_refuses_them(target: Target) -> None:
    with pytest.raises(RecipeError, match="leave out --dynamic"):
        request(target.model_copy(update={"segments": "one"}), dynamic=True).check()


def test_several_lengths_are_for_targets_that_take_them(target: Target) -> None:
    several = target.model_copy(update={"segments": "several"})
    request(several, frames=200, lengths=(100, 150)).check()
    with pytest.raises(RecipeError, match="takes any segment length, with --dynamic; give one number"):
        request(target, frames=200, lengths=(100,)).check()
    with pytest.raises(RecipeError, match="multiples of 2 frames"):
        request(several, frames=200, lengths=(101,)).segment_frames(100.0, step=2)
    with pytest.raises(RecipeError, match="at least one frame"):
        request(several, frames=200, lengths=(0,)).segment_frames(100.0)


def test_the_longest_number_of_frames_is_the_segment() -> None:
    assert parse_frames(None) == (None, ())
    assert parse_frames("100") == (100, ())
    assert parse_frames("100, 200,150") == (200, (150, 100))
    for wrong in ("", "many", "100,", "-1", "1.5", "\u00b2"):
        with pytest.raises(RecipeError, match="--frames"):
            parse_frames(wrong)


def test_a_row_that_the_target_takes_decides_the_default_length(target: Target) -> None:
    narrow = target.model_copy(update={"name": "narrow", "max_width": 65536})
    assert request(target).widest(400) is None
    limit = Request(Path("anna.pth"), (target, narrow)).widest(400)
    assert limit == (163, narrow)
    assert request(narrow).segment_frames(100.0, step=2, longest=163) == 162
    assert request(narrow, segment=2.0).segment_frames(100.0, longest=163) == 200
    assert request(narrow, frames=6000).segment_frames(100.0) == 6000


def test_places(target: Target) -> None:
    other = target.model_copy(update={"name": "other"})
    model, both, out = Path("voices/anna.pth"), (target, other), Path("out")
    assert Request(model, (target,)).place_for(target) == Path("anna-onnxruntime-cpu")
    assert Request(model, both).place_for(other) == Path("anna-other")
    assert Request(model, (target,), out).place_for(target) == out
    assert Request(model, both, out).place_for(other) == out / "other"


def test_directories_keep_their_whole_names(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("anna.v1", "anna.v2", "-x"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "anna.v1")
    names = [
        str(Request(Path(model), (target,)).place_for(target)) for model in (".", "..", "../anna.v2", "../-x", "/")
    ]
    mine, parent, *others = [name.removesuffix("-onnxruntime-cpu") for name in names]
    assert (mine, parent) == ("anna.v1", tmp_path.name)
    assert others == ["anna.v2", "x", "voice"]


def test_long_titles_make_names_that_fit(target: Target) -> None:
    name = Request(Path("あ" * 83 + ".pth"), (target,)).place_for(target).name
    assert name.endswith("-onnxruntime-cpu")
    assert len(name.encode()) <= 255


def test_files_that_options_name_are_looked_at(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.wav").write_text("no sound")
    os.mkfifo(tmp_path / "pipe.wav")
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 16000)
    complaints: list[tuple[dict[str, Any], str]] = [
        ({"sample": Path("nosuch.wav")}, "nosuch.wav: cannot be read"),
        ({"references": (Path("a.wav"), Path("text.wav"))}, "text.wav: not a recording"),
        ({"sample": Path("pipe.wav")}, "pipe.wav: is a pipe .* save it as a file"),
        ({"precision": PrecisionRecipe(calibration=Path("nosuch"))}, "nosuch: cannot be read"),
        ({"precision": PrecisionRecipe(calibration=Path("empty"))}, "empty: a directory without recordings"),
        ({"precision": PrecisionRecipe(calibration=Path("nosuch.npz"))}, "nosuch.npz: no such file"),
        ({"precision": PrecisionRecipe(plan=Path("nosuch"))}, "--plan nosuch: no such file"),
        ({"output": Path("a.wav/bundle")}, "bundle: cannot be written"),
    ]
    for options, complaint in complaints:
        with pytest.raises(InputError, match=complaint):
            request(target, **options).check_files()
    usable = PrecisionRecipe(calibration=Path())
    request(target, sample=Path("a.wav"), precision=usable, output=Path("deep/bundle")).check_files()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "empty", "pipe.wav", "text.wav"]


def test_a_request_needs_no_pytorch() -> None:
    """What is wrong is said at once."""
    script = "import sys, voxc.compiler.request; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )
