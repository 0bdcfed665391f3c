"""One artifact for segments of several lengths."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Voxc
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import RecipeError, TensorError
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.core.tensor import Array, TensorSpec
from voxc.compiler.driver import compile_model
from voxc.compiler.manifest import read_manifest
from voxc.compiler.request import Request
from voxc.compiler.runtime.component import load_component, run_component

needs_coreml = pytest.mark.skipif(
    importlib.util.find_spec("coremltools") is None, reason="coremltools is not installed (pip install 'voxc[coreml]')"
)


@needs_coreml
def test_a_package_takes_each_length_and_no_other(voxc: Voxc, voice_file: Path, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    done = voxc("compile", voice_file, "--target", "apple-ane", "--frames", "12,8", "-o", place)
    assert done.exit_code == 0, done.stderr
    manifest = read_manifest(place)
    assert (manifest.build.recipe.frames, manifest.build.recipe.lengths) == (12, (8,))
    figures = manifest.measurements.components["synthesizer"].figures
    assert figures["snr_8_frames"].value > 30
    assert figures["snr"].evidence in ("reference", "host")
    component = manifest.component("synthesizer")
    assert component.inputs[0].shape[1] == "T"
    runner = load_component(Bundle.open(place), "synthesizer")
    for frames in (8, 12):
        inputs = quiet(component.inputs, frames)
        found = run_component(runner, component, inputs)["audio"]
        assert found.shape == component.outputs[0].bind({"T": frames}).shape
    with pytest.raises(TensorError):
        run_component(runner, component, quiet(component.inputs, 9))


@needs_coreml
def test_rows_of_each_length_are_a_package(voice_file: Path, tmp_path: Path) -> None:
    """Signals fold into more rows where segments are longer, or into none; the plan is one."""
    narrow = load_targets()["apple-ane"].model_copy(update={"fold_width": 650})
    request = Request(voice_file, (narrow,), tmp_path / "bundle", frames=40, lengths=(24, 12), convert=False)
    ((_, manifest),) = compile_model(request)
    (component,) = manifest.build.components
    folded = next(done for done in component.passes if done.name == "fold_width")
    assert "1600 samples as 3 rows" in folded.notes[0]
    figures = manifest.measurements.components["synthesizer"].figures
    assert min(figures[name].value for name in ("snr", "snr_24_frames", "snr_12_frames")) > 30


def quiet(specs: tuple[TensorSpec, ...], frames: int) -> dict[str, Array]:
    """The least that each input may hold."""
    return {
        spec.name: np.full(spec.bind({"T": frames}).shape, spec.bounds[0] if spec.bounds else 0, spec.dtype)
        for spec in specs
    }


def test_a_target_of_one_length_refuses_several(voxc: Voxc, voice_file: Path, tmp_path: Path) -> None:
    done = voxc("compile", voice_file, "--target", "tflite-float32", "--frames", "12,8", "-o", tmp_path / "bundle")
    assert done.exit_code == RecipeError.exit_code
    assert "tflite-float32 needs one segment length; give one number of --frames" in done.stderr


def test_a_row_that_the_target_takes_decides_the_length_and_is_told(
    voxc: Voxc, voice_file: Path, tmp_path: Path, target: Target
) -> None:
    narrow = target.model_copy(update={"name": "narrow", "max_width": 4100})
    said: list[str] = []
    ((place, manifest),) = compile_model(
        Request(voice_file, (narrow,), tmp_path / "bundle", convert=False), said.append
    )
    hop = int(str(manifest.build.voice["hop"]))
    frames = 4100 // hop
    why = f"{frames * hop} samples in a row, of which narrow takes 4100"
    assert (manifest.build.recipe.frames, manifest.build.recipe.why_frames) == (frames, why)
    assert any(why in line for line in said)
    assert f"segments of {frames} frames: {why}" in voxc("inspect", place).stdout


def test_nothing_is_converted_unless_asked(voxc: Voxc, speaking_voice: Path, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    done = voxc("compile", speaking_voice, "-t", "raspberry-pi", "--frames", 50, "--no-sample", "-o", place)
    assert done.exit_code == 0, done.stderr
    assert read_manifest(place).measurements.conversion is None
