from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from tests.compiler.families.rvc.test_synthesizer import NOISE, SLOW_VOICES
from tests.conftest import Voxc
from voxc.backends.onnxruntime.backend import OnnxRuntimeBackend
from voxc.compiler.core.runner import Requirement, Runtime
from voxc.compiler.core.tensor import read_npz


@pytest.mark.parametrize("dynamic", [[], ["--dynamic"]], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", SLOW_VOICES)
def test_golden_voices_compile_and_run(golden: Path, tmp_path: Path, voxc: Voxc, name: str, dynamic: list[str]) -> None:
    """What the reference made of the vectors' inputs and noise comes out of `voxc compile` and `voxc run`."""
    vectors = load_file(golden / f"{name}.safetensors")
    inputs = {key.removeprefix("input/"): array for key, array in vectors.items() if key.startswith("input/")}
    del inputs["phone_lengths"]
    inputs |= {noise: vectors[key] for noise, key in NOISE.items() if key in vectors}
    np.savez(tmp_path / "in.npz", **inputs)
    frames = inputs["phone"].shape[1] + (3 if dynamic else 0)  # a dynamic bundle runs lengths that it was not made at
    compile_ = voxc(
        "compile",
        golden / f"{name}.pth",
        "--target",
        "onnxruntime-cpu",
        "-o",
        tmp_path / "bundle",
        "--frames",
        frames,
        *dynamic,
    )
    assert compile_.exit_code == 0, compile_.stderr
    run = voxc(
        "run",
        tmp_path / "bundle",
        "--component",
        "synthesizer",
        "--inputs",
        tmp_path / "in.npz",
        "--outputs",
        tmp_path / "out.npz",
    )
    assert run.exit_code == 0, run.stderr
    error = np.abs(read_npz(tmp_path / "out.npz")["audio"] - vectors["output/audio"]).max()
    assert error < 1e-3


def test_help_imports_nothing_heavy() -> None:
    heavy = "('torch', 'onnx', 'numpy', 'pydantic')"
    script = f"import sys, voxc.compiler.cli.app; print(*(m for m in {heavy} if m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "\n"


def test_every_command_has_help_with_an_example(voxc: Voxc) -> None:
    commands = ("compile", "targets", "doctor", "inspect", "run", "verify", "measure", "explain", "cache")
    assert all(command in voxc("--help").stdout for command in commands)
    for command in commands:
        assert f"voxc {command}" in re.sub(r"\s+", " ", voxc(command, "--help").stdout.split("Example:")[1])


def test_compile_prints_json_alone(voxc: Voxc, voice_file: Path, tmp_path: Path) -> None:
    result = voxc("compile", voice_file, "-t", "onnxruntime-cpu", "-o", tmp_path / "out", "--frames", 5, "--json")
    (bundle,) = json.loads(result.stdout)
    assert bundle["manifest"] == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert "emitting" in result.stderr


def test_compile_names_the_bundle_after_model_and_target(
    voxc: Voxc, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = voxc("compile", voice_file, "-t", "onnxruntime-cpu", "--frames", 5)
    assert result.exit_code == 0
    assert (tmp_path / "tiny-onnxruntime-cpu" / "manifest.json").is_file()
    assert re.search(r"synthesizer: onnx, .* MB, SNR .* dB, .* ms \(.* runs/s\), real-time factor", result.stdout)


def test_segment_is_in_seconds(voxc: Voxc, voice_file: Path, tmp_path: Path) -> None:
    result = voxc("compile", voice_file, "-t", "onnxruntime-cpu", "-o", tmp_path / "out", "--segment", 0.1, "--json")
    (bundle,) = json.loads(result.stdout)
    assert bundle["manifest"]["build"]["recipe"]["frames"] == 10


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["missing.pth", "-t", "onnxruntime-cpu"], "missing.pth: no such file"),
        (["VOICE", "-t", "onnxruntime-gpu"], "unknown target 'onnxruntime-gpu'; nearest: onnxruntime-cpu"),
        (["VOICE", "-t", "onnxruntime-cpu", "--segment", "0"], "--segment 0"),
        (["VOICE", "-t", "onnxruntime-cpu", "-o", "VOICE"], "exists and is not a directory"),
        (["VOICE", "-t", "onnxruntime-cpu", "-o", "VOICE/bundle"], "cannot be written"),
        (["VOICE", "-t", "onnxruntime-cpu", "--precision", "fp8"], "no precision 'fp8'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    voxc: Voxc, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(voice_file.parent.iterdir())
    result = voxc("compile", *(argument.replace("VOICE", str(voice_file)) for argument in arguments))
    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if not line.startswith("[")]
    assert len(errors) == 1
    assert complaint in errors[0]
    assert not result.stdout
    assert not list(tmp_path.iterdir())
    assert sorted(voice_file.parent.iterdir()) == before


def missing_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with ONNX Runtime and without MLX, and no other targets."""
    from voxc import backends

    targets = {name: backends.known_targets()[name] for name in ("onnxruntime-cpu", "apple-mlx")}
    monkeypatch.setattr(backends, "known_targets", lambda: targets)
    mlx = backends.BACKENDS["mlx"]
    monkeypatch.setattr(type(mlx), "emit_needs", (Requirement("no-such-mlx", "pip install 'voxc[mlx]'"),))


def test_all_targets_that_can_be_emitted_here(
    voxc: Voxc, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing_mlx(monkeypatch)
    result = voxc("compile", voice_file, "-t", "all", "-o", tmp_path / "out", "--frames", 6)
    assert result.exit_code == 0
    assert "voxc: warning: apple-mlx is skipped: mlx: to emit for apple-mlx, install no-such-mlx" in result.stderr
    assert [place.name for place in (tmp_path / "out").iterdir()] == ["onnxruntime-cpu"]


def test_a_named_target_that_cannot_be_emitted_is_an_error_before_any_work(
    voxc: Voxc, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing_mlx(monkeypatch)
    result = voxc("compile", voice_file, "-t", "onnxruntime-cpu,apple-MLX", "-o", tmp_path / "out", "--frames", 6)
    assert result.exit_code == 3
    assert "install no-such-mlx" in result.stderr
    assert not (tmp_path / "out").exists()


def test_all_leaves_out_what_the_options_are_not_for(
    voxc: Voxc, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing_mlx(monkeypatch)
    result = voxc("compile", voice_file, "-t", "all", "-o", tmp_path / "out", "--frames", "6,4")
    assert result.exit_code == 2  # of both, the first says why
    assert "onnxruntime-cpu takes any segment length, with --dynamic" in result.stderr.splitlines()[-1]


def test_an_encoder_that_is_not_there(voxc: Voxc, voice_file: Path, tmp_path: Path) -> None:
    for command in (["compile", "-t", "onnxruntime-cpu"], ["calibrate", "--audio", tmp_path]):
        result = voxc(command[0], voice_file, "--content", "nosuch", "-o", tmp_path / "out.npz", *command[1:])
        assert result.exit_code == 2
        assert "--content nosuch: no such file or directory" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["VOICE"], ["VOICE", "-t"], ["VOICE", "-t", "x", "--frames", "many"]])
def test_bad_usage_is_exit_2(voxc: Voxc, voice_file: Path, arguments: list[str]) -> None:
    assert voxc("compile", *(argument.replace("VOICE", str(voice_file)) for argument in arguments)).exit_code == 2


def test_targets(voxc: Voxc) -> None:
    surveys = json.loads(voxc("targets", "--json").stdout)
    (cpu,) = (survey for survey in surveys if survey["target"]["name"] == "onnxruntime-cpu")
    assert cpu["emit"]["able"]
    assert cpu["run"]["able"]
    assert "onnxruntime-cpu" in voxc("targets").stdout


def test_doctor(voxc: Voxc) -> None:
    report = json.loads(voxc("doctor", "--json").stdout)
    assert report["machine"]["cores"] >= 1
    assert {"torch", "onnx", "onnxruntime"} <= {found["package"] for found in report["packages"]}
    assert "onnxruntime" in voxc("doctor").stdout


def test_inspect_a_bundle_and_a_checkpoint(voxc: Voxc, compiled: Path, voice_file: Path) -> None:
    assert json.loads(voxc("inspect", compiled, "--json").stdout)["schema_version"] == 1
    told = voxc("inspect", compiled).stdout
    assert all(word in told for word in ("nsff0", "Hz", "fold_weight_norm", "latency_p99", "host", "fp32"))
    assert json.loads(voxc("inspect", voice_file, "--json").stdout)["speakers"] == 2
    assert "content_features" in voxc("inspect", voice_file).stdout


def test_run_takes_the_bundles_own_reference(voxc: Voxc, compiled: Path, tmp_path: Path) -> None:
    result = voxc(
        "run", compiled, "--component", "synthesizer", "--inputs", compiled / "reference.npz",
        "--outputs", tmp_path / "out.npz", "--json",
    )  # fmt: skip
    assert json.loads(result.stdout)["tensors"]["audio"] == {"shape": [1, 1, 1200], "dtype": "float32"}
    expected = read_npz(compiled / "reference.npz")["synthesizer/audio"]
    np.testing.assert_allclose(read_npz(tmp_path / "out.npz")["audio"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"prior_noise": None}, "missing: prior_noise"),
        ({"surprise": np.zeros(1)}, "unknown: surprise"),
        ({"sid": np.array([2])}, "sid: 2 to 2, the component takes speaker, 0 to 1"),
        ({"pitch": np.full((1, 30), 256)}, "pitch: 256 to 256"),
        ({"phone": np.zeros((1, 7, 768), np.float32)}, "phone: shape"),
        ({"nsff0": np.full((1, 30), 100.1)}, "nsff0: the float64 values do not fit float32"),
    ],
)
def test_run_refuses_what_does_not_fit(
    voxc: Voxc, compiled: Path, tmp_path: Path, change: dict[str, np.ndarray | None], complaint: str
) -> None:
    tensors = {name.rpartition("/")[2]: array for name, array in read_npz(compiled / "reference.npz").items()}
    np.savez(tmp_path / "in.npz", **{name: array for name, array in (tensors | change).items() if array is not None})
    result = voxc(
        "run",
        compiled,
        "--component",
        "synthesizer",
        "--inputs",
        tmp_path / "in.npz",
        "--outputs",
        tmp_path / "out.npz",
    )
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert not (tmp_path / "out.npz").exists()


def test_verify(voxc: Voxc, compiled: Path, tmp_path: Path) -> None:
    result = voxc("verify", compiled, "--json")
    assert result.exit_code == 0
    assert all(check["passed"] for check in json.loads(result.stdout)["checks"])
    assert voxc("verify", tmp_path).exit_code == 2
    copy = tmp_path / "copy"
    shutil.copytree(compiled, copy)
    (copy / "reference.npz").write_bytes(b"")
    broken = voxc("verify", copy)
    assert broken.exit_code == 1
    assert "failed: reference.npz" in broken.stderr


def test_convert(voxc: Voxc, speaking: Path, speaking_voice: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    result = voxc("convert", speaking_voice / "sample.wav", "--bundle", speaking, "-o", out, "--transpose", 3, "--json")
    told = json.loads(result.stdout)
    assert told["output"] == str(out)
    assert told["seconds"] == pytest.approx(0.8)
    samples, rate = soundfile.read(out)
    assert (rate, len(samples)) == (4000, 3200)
    assert voxc("convert", speaking_voice / "sample.wav", "-b", speaking, "-o", out).exit_code == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--speaker", 2], "speaker 2: the voice has speakers 0 to 1"),
        (["--index-rate", 1.5], "index_rate 1.5"),
        (["--f0", "ear"], "f0 ear: this voice has pm"),
    ],
)
def test_convert_refuses_what_the_voice_cannot_do(
    voxc: Voxc, speaking: Path, speaking_voice: Path, tmp_path: Path, options: list[object], complaint: str
) -> None:
    out = tmp_path / "out.wav"
    result = voxc("convert", speaking_voice / "sample.wav", "-b", speaking, "-o", out, *options)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert not out.exists()


def test_convert_needs_a_content_encoder(voxc: Voxc, compiled: Path, speaking_voice: Path, tmp_path: Path) -> None:
    result = voxc("convert", speaking_voice / "sample.wav", "-b", compiled, "-o", tmp_path / "out.wav")
    assert result.exit_code == 2
    assert "has no content component: compile it again with a content encoder" in result.stderr


def test_a_shut_gate_is_exit_1(voxc: Voxc, speaking_voice: Path, tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    options = ["--target", "raspberry-pi", "--frames", 50, "--gate", "secs>=0.99", "-o", place]
    result = voxc("compile", speaking_voice, *options)
    assert result.exit_code == 1
    assert "gate task.secs>=0.99" in result.stderr
    assert (place / "manifest.json").is_file()


def test_segments_with_an_encoder_are_even(voxc: Voxc, speaking_voice: Path, tmp_path: Path) -> None:
    result = voxc("compile", speaking_voice, "--target", "raspberry-pi", "--frames", 51, "-o", tmp_path / "bundle")
    assert result.exit_code == 2
    assert "multiples of 2 frames" in result.stderr


def test_version(voxc: Voxc) -> None:
    assert re.fullmatch(r"voxc \d+\.\d+\.\d+( \([0-9a-f]{7,}(-dirty)?\))?\n", voxc("--version").stdout)


def test_what_is_not_the_targets_own_runtime_is_told(
    voxc: Voxc, compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("run", compiled, "--component", "synthesizer", "--inputs", compiled / "reference.npz", "--outputs")
    assert "note" not in voxc(*asked, tmp_path / "own.npz").stderr
    monkeypatch.setattr(OnnxRuntimeBackend, "runtime", lambda self: Runtime("an interpreter", "reference"))
    done = voxc(*asked, tmp_path / "other.npz", "--json")
    assert "run by an interpreter, not by a runtime of onnxruntime-cpu" in done.stderr
    assert json.loads(done.stdout)["runtime"] == "an interpreter"
    assert "an interpreter (evidence: reference)" in voxc("verify", compiled).stdout


@pytest.mark.parametrize("options", [["--sample", "nosuch.wav"], ["--plan", "nosuch"], ["-o", "f/b"]])
def test_what_the_command_line_says_is_checked_before_the_model_is_read(
    voxc: Voxc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[object]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").touch()
    result = voxc("compile", "demo", "-t", "onnxruntime-cpu", *options)
    assert result.exit_code == 2
    assert "loading" not in result.stderr
    assert result.stderr.splitlines()[-1].startswith("voxc: error: ")


def test_a_speaker_that_the_voice_has_not_is_refused_before_the_export(
    voxc: Voxc, speaking_voice: Path, tmp_path: Path
) -> None:
    result = voxc("compile", speaking_voice, "-t", "onnxruntime-cpu", "--speaker", 7, "-o", tmp_path / "bundle")
    assert result.exit_code == 2
    assert "speaker 7: the voice has speakers 0 to" in result.stderr
    assert "exporting" not in result.stderr


@pytest.mark.parametrize("threads", [0, -3])
def test_no_threads_are_refused(voxc: Voxc, compiled: Path, threads: int) -> None:
    result = voxc("verify", compiled, "--threads", threads)
    assert result.exit_code == 2
    assert f"{threads}: give 1 to" in result.stderr


def test_more_threads_than_cores_are_too_many(voxc: Voxc, compiled: Path) -> None:
    result = voxc("verify", compiled, "--threads", 1000)
    assert result.exit_code == 0
    assert re.search(r"voxc: warning: --threads 1000: this machine has (\d+) cores; \1 are used\n", result.stderr)


def test_a_model_from_a_pipe_is_one_line(voxc: Voxc, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "voice.pth")
    result = voxc("inspect", tmp_path / "voice.pth")
    assert result.exit_code == 2
    assert result.stderr.endswith("is a pipe or a device, which can be read only once; save it as a file first\n")


def test_convert_many(voxc: Voxc, speaking: Path, speaking_voice: Path, tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    shutil.copy(speaking_voice / "sample.wav", recordings / "a.wav")
    (recordings / "b.wav").write_bytes(b"RIFF")
    arguments = ("convert", recordings, speaking_voice / "s*.wav", "-b", speaking, "--jobs", 2, "--format", "flac")
    result = voxc(*arguments, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.flac", "sample.flac"]
    assert "2 of 3 recordings: " in result.stdout
    assert f"voxc: error: {recordings / 'b.wav'}: not a recording" in result.stderr
    assert f"1 of 3 recordings were not converted: {recordings / 'b.wav'}\n" in result.stderr
    result = voxc(*arguments, "-o", tmp_path / "out", "--json")
    done, failed, _ = json.loads(result.stdout)["files"]
    assert done["output"] == str(tmp_path / "out" / "a.flac")
    assert done["warnings"] == []
    assert "not a recording" in failed["error"]


def test_convert_from_and_to_standard_streams(speaking: Path, speaking_voice: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "voxc.compiler", "convert", "-", "-b", speaking, "-o", "-", "--format", "wav24"]
    sound = (speaking_voice / "sample.wav").read_bytes()
    done = subprocess.run(command, input=sound, capture_output=True, check=True)
    (tmp_path / "out.wav").write_bytes(done.stdout)
    info = soundfile.info(tmp_path / "out.wav")
    assert info.subtype == "PCM_24"
    assert info.duration == pytest.approx(soundfile.info(speaking_voice / "sample.wav").duration, abs=0.001)
    assert done.stderr == b""
