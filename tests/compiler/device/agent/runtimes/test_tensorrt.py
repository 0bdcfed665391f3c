"""The agent's TensorRT runtime, as far as it can be seen without a GPU: stand_ins/ has what stands for the hardware."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compiler.device.asking import Answer, ask
from tests.compiler.device.conftest import edit_manifest, module_that
from tests.compiler.device.kits import (
    FRAMES,
    LONGEST,
    NANO,
    PRECISIONS,
    add_file,
    layers_of,
    make_kit,
    profiles_of,
    told,
)

VERSIONS = ("8.2.1.8", "10.3.0")


@pytest.fixture
def board(hardware: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(hardware))
    monkeypatch.setenv("FAKE_TENSORRT", "8.2.1.8")
    return hardware


def message(answer: Answer, code: int) -> str:
    assert answer.code == code, answer.stderr
    return str(answer.document["error"]["message"])


@pytest.mark.parametrize("version", VERSIONS)
def test_builds_compares_and_times(
    kit: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("FAKE_TENSORRT", version)
    monkeypatch.setenv("FAKE_LEAKS", str(tmp_path / "leaks"))
    answer = ask(tmp_path, "measure", kit, "--runs", 3, path=board)
    assert answer.code == 0, answer.stderr
    found = answer.document["components"]["synthesizer"]
    assert found["passed"]
    assert found["snr_db"] > 100
    assert found["runs"] == 3
    engine = found["engine"]
    assert {name: engine[name] for name in NANO} == {**NANO, "tensorrt": version}
    content = (kit / "synthesizer.engine").read_bytes()
    assert (engine["bytes"], engine["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert engine["build_s"] > 0
    assert answer.document["runtime"].items() >= {"tensorrt": version, "cuda": "10.2"}.items()
    assert answer.document["settings"] == {"gpu": "NVIDIA Tegra X1 (5.3)"}
    assert (tmp_path / "leaks").read_text() == "0 0"  # memory and streams that were not given back


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_builder_is_told(
    kit: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("FAKE_TENSORRT", version)
    island = next(node.name for node in layers_of(kit) if node.op_type == "Sin")
    make_kit(kit, layers={island: "fp32"})
    assert ask(tmp_path, "build", kit, path=board).code == 0
    engine = told(kit / "synthesizer.engine")
    assert engine["flags"] == ["FP16", "OBEY_PRECISION_CONSTRAINTS"]  # and no TF32
    assert engine["held"] == {island: "FLOAT"}
    assert engine["outputs"] == {island: "FLOAT"}
    assert engine["workspace"] == 1024 << 20  # a quarter of the target's memory
    stated = json.loads((kit / "synthesizer.engine.json").read_text())
    onnx_digest = hashlib.sha256((kit / "synthesizer.onnx").read_bytes()).hexdigest()
    assert stated["sources"]["synthesizer.onnx"] == onnx_digest
    assert stated.items() >= {**NANO, "tensorrt": version}.items()


def test_builds_in_float32_where_nothing_else_is_asked_for(kit: Path, board: Path, tmp_path: Path) -> None:
    make_kit(kit, default="fp32")
    ask(tmp_path, "build", kit, path=board)
    engine = told(kit / "synthesizer.engine")
    assert engine["flags"] == ["OBEY_PRECISION_CONSTRAINTS"]
    assert engine["held"] == {}


def test_workspace_leaves_half_of_what_is_free(
    kit: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_MEMORY_MIB", "1000")
    answer = ask(tmp_path, "build", kit, path=board)
    assert told(kit / "synthesizer.engine")["workspace"] == 500 << 20
    assert answer.document["components"]["synthesizer"]["engine"]["workspace_mib"] == 500


def test_an_engine_is_built_once(kit: Path, board: Path, tmp_path: Path) -> None:
    assert "building the engine" in ask(tmp_path, "run", kit, path=board).stderr
    answer = ask(tmp_path, "run", kit, path=board)
    assert "building" not in answer.stderr
    assert "build_s" not in answer.document["components"]["synthesizer"]["engine"]


def timings_of(kit: Path, directory: str, tmp_path: Path, board: Path, *options: object) -> str:
    """What a build of an engine in a new directory knew of earlier ones."""
    assert ask(tmp_path, "build", kit, "--engines", tmp_path / directory, *options, path=board).code == 0
    return str(told(tmp_path / directory / "synthesizer.engine")["timings"])


def test_timings_are_used_again(
    kit: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user_cache: Path
) -> None:
    """Wherever engines go; by TensorRT's version and the GPU."""
    assert timings_of(kit, "first", tmp_path, board) == ""
    assert [file.name for file in (user_cache / "voxc").iterdir()] == ["8.2.1.8-NVIDIA-Tegra-X1-5.3.timings"]
    assert timings_of(kit, "second", tmp_path, board) == "timings of 8.2.1.8"
    monkeypatch.setenv("FAKE_GPU", "another")
    assert timings_of(kit, "third", tmp_path, board) == ""


def test_timings_may_have_a_file_of_their_own(kit: Path, board: Path, tmp_path: Path, user_cache: Path) -> None:
    own = tmp_path / "new" / "timings"
    assert timings_of(kit, "first", tmp_path, board, "--timings", own) == ""
    assert timings_of(kit, "second", tmp_path, board, "--timings", own) == "timings of 8.2.1.8"
    assert [file.name for file in own.parent.iterdir()] == ["timings"]
    assert not (user_cache / "voxc").exists()


@pytest.mark.parametrize("timings", [b"rubbish", b"timings of 7.1"])
def test_timings_of_others_are_passed_over(kit: Path, board: Path, tmp_path: Path, timings: bytes) -> None:
    own = tmp_path / "timings"
    own.write_bytes(timings)
    assert timings_of(kit, "first", tmp_path, board, "--timings", own) == ""
    assert own.read_bytes() == b"timings of 8.2.1.8"


@pytest.mark.parametrize("place", ["relative", "/proc/nowhere"])
def test_timings_that_cannot_be_kept(
    kit: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    assert timings_of(kit, "first", tmp_path, board) == ""
    assert timings_of(kit, "second", tmp_path, board) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"FAKE_GPU": "Orin", "FAKE_CAPABILITY": "8.7"}, "this machine has TensorRT 8.2.1.8, Orin (8.7)"),
        ({"FAKE_TENSORRT": "10.3.0"}, "this machine has TensorRT 10.3.0, NVIDIA Tegra X1 (5.3)"),
    ],
)
def test_an_engine_of_another_machine_is_refused_and_built_anew(
    kit: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], words: str
) -> None:
    ask(tmp_path, "build", kit, path=board)
    before = (kit / "synthesizer.engine").read_bytes()
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    for command in ("run", "bench", "measure"):
        refusal = message(ask(tmp_path, command, kit, path=board), 3)
        assert "synthesizer.engine: built for TensorRT 8.2.1.8, NVIDIA Tegra X1 (5.3); " + words in refusal
        assert "`agent.pyz build` builds it anew" in refusal
    assert (kit / "synthesizer.engine").read_bytes() == before
    assert f"{words}: building anew" in ask(tmp_path, "build", kit, path=board).stderr
    assert ask(tmp_path, "run", kit, path=board).code == 0


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda kit: (kit / "synthesizer.engine").write_bytes(b"half"), "is not whole"),
        (lambda kit: (kit / "synthesizer.engine.json").unlink(), "does not say where it was built"),
        (lambda kit: (kit / "synthesizer.engine.json").write_text("[]"), "does not say where it was built"),
        (lambda kit: make_kit(kit, default="fp32"), "was built of other files than the bundle has"),
    ],
)
def test_engines_that_are_not_what_they_should_be(
    kit: Path, board: Path, tmp_path: Path, harm: Any, words: str
) -> None:
    ask(tmp_path, "build", kit, path=board)
    harm(kit)
    assert words in message(ask(tmp_path, "run", kit, path=board), 3)
    assert ask(tmp_path, "build", kit, path=board).code == 0
    assert ask(tmp_path, "run", kit, path=board).code == 0


def test_an_engine_that_tensorrt_does_not_read(kit: Path, board: Path, tmp_path: Path) -> None:
    """The version's name is right, and the engine is another's all the same."""
    ask(tmp_path, "build", kit, path=board)
    engine, identity = kit / "synthesizer.engine", kit / "synthesizer.engine.json"
    engine.write_bytes(engine.read_bytes().replace(b'"8.2.1.8"', b'"8.2.1.7"'))
    stated = {**json.loads(identity.read_text()), "sha256": hashlib.sha256(engine.read_bytes()).hexdigest()}
    identity.write_text(json.dumps(stated))
    words = message(ask(tmp_path, "run", kit, path=board), 3)
    assert "TensorRT 8.2.1.8 does not read it: Serialization assertion stdVersionRead failed" in words


def test_engines_may_go_elsewhere(kit: Path, board: Path, tmp_path: Path) -> None:
    before = sorted(kit.iterdir())
    assert ask(tmp_path, "run", kit, "--engines", tmp_path / "engines", path=board).code == 0
    assert sorted(kit.iterdir()) == before
    assert (tmp_path / "engines" / "synthesizer.engine").is_file()
    (tmp_path / "file").write_text("")
    words = message(ask(tmp_path, "run", kit, "--engines", tmp_path / "file", path=board), 2)
    assert "cannot be written" in words


def quantized(kit: Path) -> None:
    make_kit(kit, default="fp16", layers={layers_of(kit)[0].name: "int8"})


def test_int8_is_refused_where_there_is_none(kit: Path, board: Path, tmp_path: Path) -> None:
    quantized(kit)
    words = message(ask(tmp_path, "build", kit, path=board), 3)
    assert words == "synthesizer is int8, and NVIDIA Tegra X1 (5.3) has no such arithmetic"


@pytest.mark.parametrize(("version", "number"), [("8.2.1.8", 8201), ("10.3.0", 100300)])
def test_int8_by_the_calibration_cache(
    kit: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, number: int
) -> None:
    """The scales go to the builder under its own version's header. What is not int8 is held where it could be: where
    all that it takes and gives has a scale."""
    monkeypatch.setenv("FAKE_INT8", "1")
    monkeypatch.setenv("FAKE_TENSORRT", version)
    quantized(kit)
    assert "neither QuantizeLinear in it nor a calibration cache" in message(ask(tmp_path, "build", kit, path=board), 2)
    add_file(kit, "synthesizer.cache", b"hello")
    assert "a calibration cache begins with" in message(ask(tmp_path, "build", kit, path=board), 2)
    first, *others = layers_of(kit)
    half, *_ = (node for node in others if node.op_type == "Conv")
    scales = "".join(f"{name}: 3c010a14\n" for name in (*first.input, *first.output, half.input[0], half.output[0]))
    add_file(kit, "synthesizer.cache", f"TRT-8201-EntropyCalibration2\n{scales}".encode())
    assert ask(tmp_path, "run", kit, path=board).code == 0
    engine = told(kit / "synthesizer.engine")
    assert engine["flags"] == ["FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"]
    assert engine["scales"] == f"TRT-{number}-EntropyCalibration2\n{scales}"
    assert engine["held"] == {half.name: "HALF"}


def test_int8_that_tensorrt_no_longer_chooses(
    kit: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_INT8", "1")
    monkeypatch.setenv("FAKE_TENSORRT", "11.0.0")
    quantized(kit)
    add_file(kit, "synthesizer.cache", b"TRT-8201-EntropyCalibration2\nphone: 3c010a14\n")
    words = message(ask(tmp_path, "build", kit, path=board), 3)
    assert words == (
        "synthesizer leaves int8 to TensorRT, and 11.0.0 no longer chooses it; compile the voice without --implicit"
    )


def test_int8_that_is_in_the_graph_needs_no_scales(
    kit: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx
    from onnx import helper, numpy_helper

    monkeypatch.setenv("FAKE_INT8", "1")
    model = onnx.load(kit / "synthesizer.onnx")
    scale = (numpy_helper.from_array(np.float32(1.0), "scale"), numpy_helper.from_array(np.int8(0), "zero"))
    model.graph.initializer.extend(scale)
    name = next(value.name for value in model.graph.input if value.type.tensor_type.elem_type == 1)
    names = [name, "scale", "zero"]
    model.graph.node.append(helper.make_node("QuantizeLinear", names, ["rounded"], name="quantize"))
    add_file(kit, "synthesizer.onnx", model.SerializeToString())
    edit_manifest(kit, lambda document: document["build"]["components"][0]["files"].reverse())
    quantized(kit)
    assert ask(tmp_path, "build", kit, path=board).code == 0
    engine = told(kit / "synthesizer.engine")
    assert engine["scales"] == ""
    assert "INT8" in engine["flags"]
    assert engine["held"] == {}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"FAKE_REFUSAL": "In node 7: No importer for Mod"},
         "synthesizer.onnx: TensorRT 8.2.1.8 refuses it: In node 7: No importer for Mod"),
        ({"FAKE_FAILURE": "Could not find\nany implementation for node"},
         "could not build an engine: Could not find any implementation for node"),
        ({"FAKE_MEMORY_MIB": "0"}, "cudaMalloc: out of memory (error 2)"),
        ({"FAKE_LOSS": "1"}, "TensorRT could not run the engine: it does not say why"),
        ({"FAKE_START": "CUDA initialization failure with error: 999"},
         "TensorRT 8.2.1.8 cannot start: CUDA initialization failure with error: 999"),
        ({"FAKE_GPUS": "0"}, "CUDA finds no GPU: no CUDA-capable device is detected (error 100)"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_told(
    kit: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: dict[str, str], words: str
) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    assert words in message(ask(tmp_path, "run", kit, path=board), 3)


def test_numbers_that_the_engine_cannot_hold(kit: Path, board: Path, tmp_path: Path) -> None:
    """Older versions read 64 bits as 32."""
    with np.load(kit / "reference.npz") as archive:
        arrays: dict[str, Any] = dict(archive)
    name = next(name for name, array in arrays.items() if array.dtype == np.int64)
    arrays[name] = arrays[name] + (1 << 40)
    np.savez(kit / "reference.npz", **arrays)
    digest = hashlib.sha256((kit / "reference.npz").read_bytes()).hexdigest()
    edit_manifest(kit, lambda document: document["measurements"]["reference"].update(sha256=digest))
    words = message(ask(tmp_path, "run", kit, path=board), 2)
    assert "the engine takes int32, too narrow for what the bundle gives" in words


def test_a_recipe_that_is_none(kit: Path, board: Path, tmp_path: Path) -> None:
    add_file(kit, PRECISIONS, b"{")
    assert "not a recipe of an engine" in message(ask(tmp_path, "build", kit, path=board), 2)


def test_a_missing_library_is_named(kit: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = module_that(tmp_path / "path", "tensorrt", "raise ImportError('no tensorrt here')")
    words = message(ask(tmp_path, "build", kit, path=nothing), 3)
    assert f"tensorrt cannot be imported by {sys.executable}" in words
    assert "JetPack" in words


def test_settings_are_tensorrts_own(kit: Path, board: Path, tmp_path: Path) -> None:
    assert "tensorrt chooses its threads itself" in message(ask(tmp_path, "run", kit, "--threads", 2, path=board), 2)
    assert "tensorrt has no such setting" in message(ask(tmp_path, "run", kit, "--compute-units", "ALL", path=board), 2)


def test_others_build_nothing(bundle: Path, tmp_path: Path) -> None:
    assert message(ask(tmp_path, "build", bundle), 2) == "build: onnxruntime runs the bundle's files as they are"


@pytest.mark.parametrize("version", VERSIONS)
def test_open_axes_have_shapes_from_the_recipe(
    open_kit: Path, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("FAKE_TENSORRT", version)
    monkeypatch.setenv("FAKE_LEAKS", str(tmp_path / "leaks"))
    answer = ask(tmp_path, "run", open_kit, path=board)
    assert answer.code == 0, answer.stderr
    assert answer.document["components"]["synthesizer"]["snr_db"] > 100
    profiles = told(open_kit / "synthesizer.engine")["profiles"]
    assert "sid" not in profiles
    assert [shape[1] for shape in profiles["phone"]] == [2, FRAMES, LONGEST]
    assert (tmp_path / "leaks").read_text() == "0 0"


@pytest.mark.parametrize("profiles", [{}, {"phone": {"min": [1]}}, {"phone": 1}])
def test_open_axes_without_shapes(open_kit: Path, board: Path, tmp_path: Path, profiles: dict[str, Any]) -> None:
    make_kit(open_kit, profiles=profiles)
    assert "no shapes in its recipe for the open axes of" in message(ask(tmp_path, "build", open_kit, path=board), 2)


def test_shapes_that_contradict_each_other(open_kit: Path, board: Path, tmp_path: Path) -> None:
    make_kit(open_kit, profiles=profiles_of(open_kit, 9, 2, 3))
    assert "no shapes in its recipe for the open axes of" in message(ask(tmp_path, "build", open_kit, path=board), 2)
