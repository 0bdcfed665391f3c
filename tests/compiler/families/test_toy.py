"""The interfaces of families, by one that loops, hears two references, and has an axis of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.compiler.families.toy import HOP, RATE, SUFFIX, ToyFamily
from tests.conftest import Once, Voxc
from tests.voices import write_tone
from voxc.compiler import families
from voxc.compiler.audio.sound import SoundArray
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.target import find_target, load_targets
from voxc.compiler.driver import compile_model
from voxc.compiler.families import load_model
from voxc.compiler.manifest import read_manifest
from voxc.compiler.request import Request
from voxc.compiler.runtime.conversion import convert_audio
from voxc.compiler.runtime.eager import eager_pipeline
from voxc.compiler.runtime.pipeline import Pipeline, load_pipeline
from voxc.compiler.verify import verify_bundle

FRAMES = 50
TARGETS = ["onnxruntime-cpu", "tflite-float32", "apple-ane", "apple-mlx", "tensorrt"]
LEAST = {"onnxruntime-cpu": 60, "tflite-float32": 60}  # dB; the others compute in float16


@pytest.fixture(scope="module", autouse=True)
def toys() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(families.FAMILIES, "toy", ToyFamily())
        yield


@pytest.fixture(scope="module")
def toy(once: Once) -> Path:
    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / f"a{SUFFIX}").write_text("a toy")
        for name, hertz in (("a", 150), ("b", 300), ("c", 220)):
            write_tone(folder / f"{name}.wav", hertz, 1.3)

    return once("toy", make) / f"a{SUFFIX}"


def converted(pipeline: Pipeline, toy: Path) -> np.ndarray:
    source, *references = (soundfile.read(toy.parent / f"{name}.wav", dtype="float32") for name in "abc")
    others = [SoundArray(audio, rate) for audio, rate in references]
    return convert_audio(*source, pipeline, references=others)[0]


@pytest.mark.parametrize("name", TARGETS)
def test_the_chain_on_a_backend_equals_the_eager_one(name: str, toy: Path, tmp_path: Path) -> None:
    request = Request(toy, (find_target(name, load_targets()),), tmp_path / "b", frames=FRAMES, threads=1)
    ((place, manifest),) = compile_model(request)
    assert manifest.status == "passed", manifest.failures
    assert manifest.measurements.conversion is not None
    assert manifest.measurements.conversion.fidelity["snr"].value > LEAST.get(name, 30)
    eager = converted(eager_pipeline(load_model(toy), FRAMES), toy)
    found = converted(load_pipeline(Bundle.open(place)), toy)
    assert len(found) == len(eager) == round(1.3 * RATE)
    assert snr_db(eager, found) > LEAST.get(name, 30)
    assert all(check.passed for check in verify_bundle(place))


def test_integers_are_calibrated_on_what_the_loop_feeds(toy: Path, tmp_path: Path) -> None:
    target = find_target("onnxruntime-cpu", load_targets())
    precision = Request(toy, (target,)).precision.with_options(("int8",), min_snr=5)
    request = Request(toy, (target,), tmp_path / "b", frames=FRAMES, threads=1, precision=precision)
    ((place, manifest),) = compile_model(request)
    assert manifest.status == "passed", manifest.failures
    assert "a.wav" in manifest.measurements.calibration
    plan = (place / "plan.json").read_text()
    assert '"int8"' in plan


def test_its_own_axis_has_the_length_that_is_requested(toy: Path, tmp_path: Path, voxc: Voxc) -> None:
    done = voxc(
        "compile", toy, "--target", "onnxruntime-cpu", "--frames", FRAMES, "--size", "R=60", "-o", tmp_path / "b"
    )
    assert done.exit_code == 0, done.output
    manifest = read_manifest(tmp_path / "b")
    assert manifest.component("speaker").inputs[0].shape == (1, 60, HOP)
    assert manifest.component("speaker").frame_rate is None
    assert manifest.build.voice["reference_frames"] == 60
    factor = manifest.measurements.components["speaker"].figures["real_time_factor"]
    assert (factor.value, factor.how) == (None, "the network has no time axis")


def test_an_axis_that_it_lacks(toy: Path) -> None:
    with pytest.raises(RecipeError, match=r"--size Q: a\.toy has no axis of that name .* it has R"):
        load_model(toy, sizes={"Q": 3})


def test_one_reference_is_too_few(toy: Path) -> None:
    audio, rate = soundfile.read(toy.parent / "a.wav", dtype="float32")
    with pytest.raises(RecipeError, match="two references"):
        convert_audio(audio, rate, eager_pipeline(load_model(toy), FRAMES))


def test_options_of_another_family_are_refused(toy: Path) -> None:
    with pytest.raises(RecipeError, match="--content is for models of the family rvc; this is toy"):
        load_model(toy, {"content": Path("x")})
