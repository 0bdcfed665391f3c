"""One artifact for segments of several lengths."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Voxc
from voxc.compiler.bundle import Bundle
from voxc.compiler.errors import RecipeError, TensorError
from voxc.compiler.manifest import read_manifest
from voxc.compiler.runtime.component import load_component, run_component
from voxc.compiler.tensor import Array, TensorSpec

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
        assert found.shape == component.outputs[0].bind(frames).shape
    with pytest.raises(TensorError):
        run_component(runner, component, quiet(component.inputs, 9))


def quiet(specs: tuple[TensorSpec, ...], frames: int) -> dict[str, Array]:
    """The least that each input may hold."""
    return {
        spec.name: np.full(spec.bind(frames).shape, spec.bounds[0] if spec.bounds else 0, spec.dtype) for spec in specs
    }


def test_a_target_of_one_length_refuses_several(voxc: Voxc, voice_file: Path, tmp_path: Path) -> None:
    done = voxc("compile", voice_file, "--target", "tflite-float32", "--frames", "12,8", "-o", tmp_path / "bundle")
    assert done.exit_code == RecipeError.exit_code
    assert "tflite-float32 needs one segment length; give one number of --frames" in done.stderr
