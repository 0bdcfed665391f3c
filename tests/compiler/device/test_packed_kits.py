"""Kits with weights in 8 bits, by the agent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.compiler.device.asking import ask
from tests.compiler.device.conftest import edit_manifest
from tests.compiler.device.kits import add_file


def pack_weights(kit: Path) -> None:
    """Takes the larger weights out of the kit's ONNX file."""
    from voxc.backends.onnx.builder import Packed
    from voxc.backends.tensorrt import packed

    file = kit / "synthesizer.onnx"
    model = onnx.load(file)
    weights = {}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.ndim > 1:
            scales = np.abs(array).max(tuple(range(1, array.ndim)), keepdims=True) / np.float32(127) + np.float32(1e-9)
            weights[tensor.name] = Packed(np.round(array / scales).astype(np.int8), scales)
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name].floats, tensor.name))
    onnx.save_model(model, file)
    (beside,) = packed.pack(file, weights)
    for name in (file.name, beside.name):
        add_file(kit, name, (kit / name).read_bytes())
    edit_manifest(kit, lambda document: document["build"]["components"][0]["files"].sort(key=lambda each: each["path"]))


@pytest.mark.parametrize("engines", ["", "engines"])
def test_an_engine_of_packed_weights(
    kit: Path, hardware: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engines: str
) -> None:
    """It is built of a copy of the file with its floats, of which nothing is left; and it computes what the kit did."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(hardware))
    monkeypatch.setenv("FAKE_TENSORRT", "8.2.1.8")
    pack_weights(kit)
    edit_manifest(kit, lambda document: document["build"]["components"][0].update(min_snr_db=25))
    size = (kit / "synthesizer.onnx").stat().st_size
    before = {file.name for file in kit.iterdir()}
    options = ("--engines", tmp_path / engines) if engines else ()
    answer = ask(tmp_path, "run", kit, *options, path=hardware)
    assert answer.code == 0, answer.stderr
    found = answer.document["components"]["synthesizer"]
    assert 25 < found["snr_db"] < 90, "8 bits are not float32"
    place = tmp_path / engines if engines else kit
    made = {"synthesizer.engine", "synthesizer.engine.json"}
    assert {file.name for file in place.iterdir()} - (set() if engines else before) == made
    assert (place / "synthesizer.engine").stat().st_size > 1.3 * size, "it has the floats"
    stated = json.loads((place / "synthesizer.engine.json").read_text())
    assert "synthesizer.weights.npz" in stated["sources"]


def test_packed_weights_that_are_none(
    kit: Path, hardware: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(hardware))
    pack_weights(kit)
    add_file(kit, "synthesizer.weights.npz", b"PK")
    answer = ask(tmp_path, "run", kit, path=hardware)
    assert answer.code == 2
    assert "synthesizer.weights.npz: not the weights of a kit" in answer.document["error"]["message"]
    assert not [file for file in kit.iterdir() if file.name.startswith(".voxc")]
