from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.voices import write_voice
from voxc.backends import BACKENDS
from voxc.backends.base import Backend
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.backends.onnxruntime.backend import OnnxRuntimeBackend
from voxc.compiler import compiled as compiled_module
from voxc.compiler import job as job_module
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import CheckpointError, MissingRuntimeError, OutputError, PassError, RecipeError
from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.core.runner import Fit, Requirement
from voxc.compiler.core.target import Peaks, Target, load_targets
from voxc.compiler.core.tensor import Array
from voxc.compiler.driver import compile_model
from voxc.compiler.manifest import read_manifest
from voxc.compiler.measure import figures as figures_module
from voxc.compiler.measure.figures import missing_latency
from voxc.compiler.precision import layers
from voxc.compiler.request import Request
from voxc.compiler.runtime.component import load_component, run_component
from voxc.compiler.terminal import speed
from voxc.compiler.verify import verify_bundle
from voxc.passes.source.frame_rate_source_phase import FrameRateSourcePhase


@st.composite
def configs(draw: st.DrawFn) -> list[object]:
    """Small RVC configs of every kind: the values that RVC lets a user choose, and more."""
    heads = draw(st.sampled_from([1, 2]))
    rates = draw(st.lists(st.sampled_from([2, 4, 6]), min_size=1, max_size=3))
    kernels = [rate + 2 * draw(st.integers(0, 3)) for rate in rates]
    blocks = draw(st.lists(st.sampled_from([1, 3, 5, 7]), min_size=1, max_size=2))
    dilations = [draw(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=2)) for _ in blocks]
    inter, hidden, filters = draw(st.sampled_from([2, 6])), heads * draw(st.integers(1, 3)), draw(st.integers(1, 8))
    layers, kernel, block = draw(st.integers(1, 2)), draw(st.sampled_from([1, 3, 4])), draw(st.sampled_from(["1", "2"]))
    speakers, gin, rate = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.sampled_from([32000, 40000, 48000]))
    return [
        1025, 32, inter, hidden, filters, heads, layers, kernel, 0, block, blocks, dilations, rates, 8, kernels,
        speakers, gin, rate,
    ]  # fmt: skip


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    config=configs(),
    version=st.sampled_from(["v1", "v2"]),
    f0=st.sampled_from([0, 1]),
    frames=st.integers(1, 40),
    dynamic=st.booleans(),
)
def test_random_voices_round_trip(
    tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch,
    config: list[object], version: str, f0: int, frames: int, dynamic: bool,
) -> None:  # fmt: skip
    """Load, compile, run, compare with eager PyTorch: the compile itself does the comparison, after every pass."""
    monkeypatch.setattr(compiled_module, "latency_figures", lambda *_, **__: missing_latency("not asked for"))
    frames = max(frames, 3) if dynamic else frames
    model = write_voice(tmp_path / "voice.pth", config=config, version=version, f0=f0)
    request = Request(model, (target,), tmp_path / "bundle", frames=frames, dynamic=dynamic, verify_passes=True)
    ((place, manifest),) = compile_model(request)
    assert manifest.status == "passed", manifest.failures
    assert all(check.passed for check in verify_bundle(place))


def test_two_compiles_have_one_build(voice_file: Path, compiled: Path, tmp_path: Path, target: Target) -> None:
    ((place, manifest),) = compile_model(Request(voice_file, (target,), tmp_path / "again", frames=30, threads=1))
    ((_, other),) = compile_model(Request(voice_file, (target,), tmp_path / "other", frames=31))
    first = (compiled / "synthesizer.onnx").read_bytes()
    assert manifest.build_digest == read_manifest(compiled).build_digest
    assert (place / "synthesizer.onnx").read_bytes() == first
    assert other.build_digest != manifest.build_digest


def test_several_targets_share_a_directory(voice_file: Path, tmp_path: Path) -> None:
    targets = tuple(target for target in load_targets().values() if target.default_precision != "auto")  # a long search
    bundles = compile_model(Request(voice_file, targets, tmp_path / "all", frames=5))
    assert [place for place, _ in bundles] == [tmp_path / "all" / target.name for target in targets]
    assert all(place.is_dir() for place, _ in bundles)


def test_a_device_that_this_machine_is_not_gets_no_latency(voice_file: Path, tmp_path: Path, target: Target) -> None:
    peaks = Peaks(rates={"float32": 100}, bandwidth=10, launch=5, source="a book")
    board = target.model_copy(update={"machine": "board", "name": "board", "peaks": peaks})
    ((_, manifest),) = compile_model(Request(voice_file, (board,), tmp_path / "board", frames=5))
    figures = manifest.measurements.components["synthesizer"].figures
    assert figures["latency_estimate"].evidence == "estimate"
    assert "by its peaks, an estimate" in speed(figures)
    assert figures["latency_median"].value is None
    here = target.model_copy(update={"peaks": peaks})
    ((_, measured),) = compile_model(Request(voice_file, (here,), tmp_path / "here", frames=5))
    assert "latency_estimate" not in measured.measurements.components["synthesizer"].figures
    assert "no board" in figures["latency_median"].how
    assert figures["snr"].evidence == "host"


def test_nothing_is_timed_if_so_requested(
    voice_file: Path, tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the layers of a search either: estimates choose, and choose the same every time."""
    for module in (figures_module, layers):
        monkeypatch.setattr(module, "interleave", None)
    recipe = PrecisionRecipe(policy="auto", min_snr=1.0)
    request = Request(voice_file, (target,), tmp_path / "b", frames=20, precision=recipe, measure=False)
    ((_, manifest),) = compile_model(request)
    figures = manifest.measurements.components["synthesizer"].figures
    assert figures["latency_median"].value is None
    assert figures["latency_median"].how == "not measured: --no-measure; `voxc measure` adds it"
    assert figures["snr"].value is not None


def test_a_voice_with_everything_is_converted(speaking: Path) -> None:
    manifest = read_manifest(speaking)
    assert manifest.status == "passed", manifest.failures
    frames = {name: spec.inputs[0].shape for name, spec in ((c.name, c) for c in manifest.build.components)}
    assert frames == {"content": (1, 320 * 25 + 80), "retrieval": (1, 25, 256), "synthesizer": (1, 50, 256)}
    assert manifest.measurements.components["retrieval"].figures["recall_at_8"].value == 1
    conversion = manifest.measurements.conversion
    assert conversion is not None
    assert conversion.sample == "sample.wav"
    assert conversion.options["transpose"] == 12  # from 150 Hz to 300 Hz
    assert conversion.fidelity["snr"].value > 60
    assert conversion.task["secs"].evidence == "host"
    assert {"content", "retrieval", "synthesizer", "f0"} < set(conversion.steps)
    assert set(conversion.audio) == {"source", "target", "float32", "converted"}
    assert all(check.passed for check in verify_bundle(speaking))


def test_everything_of_any_length(speaking_voice: Path, tmp_path: Path, target: Target) -> None:
    request = Request(speaking_voice, (target,), tmp_path / "bundle", frames=50, dynamic=True, verify_passes=True)
    ((place, manifest),) = compile_model(request)
    assert manifest.status == "passed", manifest.failures
    content = manifest.component("content")
    assert content.inputs[0].shape == (1, "320*T+80")
    runner = load_component(Bundle.open(place), "content")
    for contents in (3, 60):
        audio = np.zeros((1, 320 * contents + 80), np.float32)
        assert run_component(runner, content, {"audio": audio})["features"].shape == (1, contents, 256)


def test_gates_fail_the_build_and_keep_the_bundle(speaking_voice: Path, tmp_path: Path, target: Target) -> None:
    gates = ("secs>=0.99", "snr>=10")
    board = target.model_copy(update={"machine": "board"})
    ((place, manifest),) = compile_model(Request(speaking_voice, (board,), tmp_path / "b", frames=50, gates=gates))
    assert manifest.status == "failed"
    assert manifest.measurements.conversion.steps["real_time_factor"].value is None  # the board's time is not known
    assert manifest.build.recipe.gates == (*target.gates, "task.secs>=0.99", "fidelity.snr>=10")
    (failure,) = manifest.failures
    assert "task.secs is" in failure
    assert place.is_dir()


def test_gates_on_size_time_and_memory(voice_file: Path, tmp_path: Path, target: Target) -> None:
    gates = ("size_mib<=0.001", "speedup>=1e6", "memory_mib<=1")
    ((place, manifest),) = compile_model(Request(voice_file, (target,), tmp_path / "b", frames=6, gates=gates))
    size, speedup, memory = manifest.failures
    assert "bundle.size_mib is" in size
    assert "bundle.speedup is" in speedup
    assert "bundle.memory_mib is" in memory
    (run,) = manifest.measurements.devices
    assert 10 < (run.peak_memory.value or 0) < 400  # and not what this process takes, which starts the agent
    assert read_manifest(place) == manifest


def test_a_gate_on_what_cannot_be_measured_here_fails_with_the_reason(
    voice_file: Path, tmp_path: Path, target: Target
) -> None:
    board = target.model_copy(update={"machine": "board"})
    gates = ("size_mib<=100", "speedup>=0.1", "memory_mib<=1e5")
    ((_, manifest),) = compile_model(Request(voice_file, (board,), tmp_path / "b", frames=6, gates=gates))
    speedup, memory = manifest.failures
    assert "this machine is no onnxruntime-cpu" in speedup
    assert "not measured; `voxc measure` does" in memory
    assert not manifest.measurements.devices


def test_a_target_has_gates_of_its_own(speaking_voice: Path, tmp_path: Path, target: Target) -> None:
    """They are for what has a number: the fidelity of an SNR of 150 dB does, a speaker nobody recorded does not."""
    gates = ("fidelity.pesq>=4.65", "task.secs>=0.99")
    board = target.model_copy(update={"machine": "board", "gates": gates})
    request = Request(speaking_voice, (board,), tmp_path / "b", frames=50, speaker=1, transpose=0)
    ((_, manifest),) = compile_model(request)
    (failure,) = manifest.failures
    assert "gate fidelity.pesq>=4.65" in failure


@pytest.mark.parametrize("options", [{"gates": ("secs>=0.8",)}, {"sample": Path(__file__)}])
def test_what_cannot_convert_cannot_be_held_to_it(
    voice_file: Path, tmp_path: Path, target: Target, options: dict[str, object]
) -> None:
    with pytest.raises(RecipeError, match="give a content encoder with --content"):
        compile_model(Request(voice_file, (target,), tmp_path / "b", frames=6, **options))  # type: ignore[arg-type]


def test_an_encoder_of_another_width(speaking_voice: Path, voice_file: Path, tmp_path: Path, target: Target) -> None:
    request = Request(voice_file, (target,), tmp_path / "b", frames=6, options={"content": speaking_voice / "content"})
    with pytest.raises(CheckpointError, match="gives 24 features a frame, this v2 voice takes 768"):
        compile_model(request)


def test_an_index_of_another_width(speaking_voice: Path, voice_file: Path, tmp_path: Path, target: Target) -> None:
    request = Request(voice_file, (target,), tmp_path / "b", frames=6, options={"index": speaking_voice / "tiny.index"})
    with pytest.raises(CheckpointError, match=r"256 \(v1\) wide, the voice's content features 768 \(v2\)"):
        compile_model(request)


class NoisyRunner(OnnxRuntimeRunner):
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {name: array + np.float32(0.01) for name, array in super().run(inputs).items()}


def test_segments_have_to_fit_into_memory(
    voice_file: Path, tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitting(most: int) -> None:
        monkeypatch.setattr(OnnxRuntimeBackend, "fit", lambda *asked: Fit(min(most, asked[3]), "1 + 1 = 2; of 1"))

    request = Request(voice_file, (target,), tmp_path / "bundle", frames=5)
    for most, complaint in ((3, "5 frames does not fit, --frames 3 does; 1 . 1 = 2"), (0, "no segment of this voice")):
        fitting(most)
        with pytest.raises(RecipeError, match=complaint):
            compile_model(request)
        assert not list(tmp_path.iterdir())
    fitting(5)
    ((_, manifest),) = compile_model(request)
    assert manifest.build.recipe.why_frames == "1 + 1 = 2; of 1"


def test_the_default_segment_shrinks_to_the_memory_of_its_target(
    voice_file: Path, tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(backend: Backend, programs: object, target: Target, frames: int, step: int) -> Fit:
        return Fit(min(5, frames) if target.name == "small" else frames, "1 + 1 = 2; of 1")

    monkeypatch.setattr(OnnxRuntimeBackend, "fit", fit)
    monkeypatch.setattr("voxc.compiler.session.DEFAULT_SEGMENT_SECONDS", 0.1)
    small = target.model_copy(update={"name": "small"})
    bundles = compile_model(Request(voice_file, (small, target), tmp_path / "bundles"))
    assert [(place.name, manifest.build.recipe.frames) for place, manifest in bundles] == [
        ("small", 5), (target.name, 10)
    ]  # fmt: skip
    monkeypatch.setattr(OnnxRuntimeBackend, "fit", lambda *asked: Fit(0, "1 + 1 = 2; of 1"))
    with pytest.raises(RecipeError, match="no segment of this voice does"):
        compile_model(Request(voice_file, (small,), tmp_path / "none"))


def test_wrong_numbers_mark_the_bundle_as_failed(
    voice_file: Path, tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxc.backends.onnx.runner.OnnxRuntimeRunner", NoisyRunner)
    ((place, manifest),) = compile_model(Request(voice_file, (target,), tmp_path / "bundle", frames=5))
    assert manifest.status == "failed"
    assert "below 60 dB" in manifest.failures[0]
    assert place.is_dir()


def test_a_pass_that_moves_the_numbers_is_named(
    voice_file: Path, tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FrameRateSourcePhase, "tolerance", 0.0)
    with pytest.raises(PassError, match="frame_rate_source_phase moved audio of synthesizer by"):
        compile_model(Request(voice_file, (target,), tmp_path / "bundle", frames=5, verify_passes=True))
    assert not (tmp_path / "bundle").exists()


class NeedsMore(OnnxRuntimeBackend):
    run_needs: ClassVar[tuple[Requirement, ...]] = (Requirement("no-such-runtime", "pip install 'voxc[more]'"),)


def test_a_missing_runtime_says_what_to_install(
    voice_file: Path, tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "onnxruntime", NeedsMore())
    with pytest.raises(MissingRuntimeError, match=r"install no-such-runtime \(pip install 'voxc\[more\]'\)"):
        compile_model(Request(voice_file, (target,), tmp_path / "bundle", frames=5))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_no_fault_of_an_sdk(
    voice_file: Path, tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Core ML's says "unknown error"."""

    def emit(*_: object) -> None:
        raise RuntimeError("[MIL FileWriter]: Unknown error occurred while writing data to the file.")

    monkeypatch.setattr(OnnxRuntimeBackend, "emit", emit)
    request = Request(voice_file, (target,), tmp_path / "b", frames=20)
    with pytest.raises(RuntimeError, match="MIL FileWriter"):
        compile_model(request)
    monkeypatch.setattr(job_module, "has_room", lambda directory: False)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)"):
        compile_model(request)
