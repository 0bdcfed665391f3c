from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.compiler.device.conftest import edit_manifest, module_that
from voxc.compiler.device import agent

SOURCE = Path(agent.__file__)
QUICK = ("--runs", "3", "--warm-up", "1")


@dataclass(frozen=True)
class Answer:
    code: int
    document: dict[str, Any]
    stderr: str


def ask(tmp_path: Path, *arguments: object, path: Path | None = None) -> Answer:
    """The agent, copied to where nothing of voxc is, in a process of its own; `path` goes before installed packages."""
    alone = tmp_path / "alone"
    alone.mkdir(exist_ok=True)
    copy = shutil.copy(SOURCE, alone)
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    command = [sys.executable, copy, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=alone, env=environment, check=False)
    return Answer(done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr)


def test_parses_as_python_3_6() -> None:
    ast.parse(SOURCE.read_text(), feature_version=(3, 6))


def suits_python_3_6(file: Path) -> subprocess.CompletedProcess[str]:
    options = ["--target=3.6-", "--violations", "--no-tips"]
    command = [sys.executable, "-c", "import vermin; vermin.main()", *options, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_uses_nothing_that_python_3_6_lacks(tmp_path: Path) -> None:
    done = suits_python_3_6(SOURCE)
    assert done.returncode == 0, done.stdout + done.stderr
    newer = tmp_path / "newer.py"
    newer.write_text("import subprocess\nsubprocess.run(['true'], capture_output=True)\n")
    assert suits_python_3_6(newer).returncode != 0


def test_imports_nothing_but_the_standard_library() -> None:
    tree = ast.parse(SOURCE.read_text())
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in top if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names
    assert "voxc" not in "".join(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))


def test_compares_and_times(bundle: Path, tmp_path: Path) -> None:
    answer = ask(tmp_path, "measure", bundle, *QUICK, "--threads", 1)
    assert answer.code == 0, answer.stderr
    assert answer.document["agent"] == agent.PROTOCOL
    assert answer.document["settings"] == {"threads": 1}
    assert {"onnxruntime", "numpy"} == answer.document["runtime"].keys()
    assert answer.document["machine"]["cores"] >= 1
    found = answer.document["components"]["synthesizer"]
    assert found["passed"]
    assert found["snr_db"] > 100
    assert 0 < found["max_abs_error"] < 1e-3
    assert found["runs"] == 3
    latency = found["latency_ms"]
    assert 0 < latency["min"] <= latency["median"] <= latency["p90"] <= latency["p99"]
    progress = [line for line in answer.stderr.splitlines() if line.startswith(agent.PROGRESS)]
    assert progress[0] == "voxc-agent: synthesizer: checking files"
    assert any("timing, run 1" in line for line in progress)


@pytest.mark.parametrize(("command", "has", "lacks"), [("run", "snr_db", "latency_ms"), ("bench", "runs", "passed")])
def test_run_compares_and_bench_times(bundle: Path, tmp_path: Path, command: str, has: str, lacks: str) -> None:
    found = ask(tmp_path, command, bundle, *QUICK).document["components"]["synthesizer"]
    assert has in found
    assert lacks not in found


def test_runs_until_the_time_is_over() -> None:
    told: list[str] = []
    teller: Any = told.append
    found = agent.time_runs(lambda inputs: {}, {}, runs=50, seconds=0.0, warm_up=3, tell=teller)
    assert found["runs"] == 1
    assert told == [f"warming up, run {index}" for index in (1, 2, 3)] + ["timing, run 1"]


def test_an_output_that_differs_is_exit_code_1(bundle: Path, tmp_path: Path) -> None:
    edit_manifest(bundle, lambda document: document["build"]["components"][0].update(min_snr_db=500))
    answer = ask(tmp_path, "run", bundle)
    assert answer.code == 1
    assert answer.document["components"]["synthesizer"]["passed"] is False


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (np.array([1.0, 2.0, 4.0]), {"snr_db": None, "max_abs_error": 0.0, "passed": True}),
        (np.array([1.0, np.nan, 4.0]), {"snr_db": None, "max_abs_error": None, "passed": False}),
        (np.array([1.0, 2.0, 4.5]), {"snr_db": pytest.approx(12.71, abs=0.01), "max_abs_error": 0.5, "passed": False}),
        (np.array([[1.0, 2.0, 4.0625]]), {"snr_db": pytest.approx(30.77, abs=0.01), "max_abs_error": 0.0625,
                                          "passed": True}),
    ],
)  # fmt: skip
def test_what_comparing_says(found: np.ndarray, expected: dict[str, Any]) -> None:
    assert agent.compare({"y": np.array([1.0, 2.0, 4.0])}, {"y": found}, bound=25.0) == expected


def test_the_worst_output_counts() -> None:
    expected = {name: np.array([0.0, 1.0]) for name in ("equal", "bad", "good")}
    given = {"equal": np.array([0.0, 1.0]), "bad": np.array([0.0, 1.5]), "good": np.array([0.0, 1.001])}
    found = agent.compare(expected, given, bound=25.0)
    assert found["snr_db"] == pytest.approx(3.01, abs=0.01)
    assert found["max_abs_error"] == 0.5
    assert not found["passed"]


def test_pickles_are_not_opened(bundle: Path, tmp_path: Path) -> None:
    reference = bundle / "reference.npz"
    with np.load(reference) as archive:
        arrays: dict[str, Any] = dict(archive)
    arrays["synthesizer/phone"] = np.array([{"a": 1}], dtype=object)
    np.savez(reference, **arrays)
    digest = hashlib.sha256(reference.read_bytes()).hexdigest()
    edit_manifest(bundle, lambda document: document["measurements"]["reference"].update(sha256=digest))
    answer = ask(tmp_path, "run", bundle)
    assert answer.code == 2
    assert "not the reference tensors of the manifest (Object arrays" in answer.document["error"]["message"]


def test_a_damaged_file_is_not_run(bundle: Path, tmp_path: Path) -> None:
    file = bundle / "synthesizer.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    answer = ask(tmp_path, "measure", bundle)
    assert answer.code == 2
    assert answer.document["error"]["kind"] == "bundle"
    assert "synthesizer.onnx: its SHA-256 is not the manifest's" in answer.document["error"]["message"]


def test_every_file_of_a_component_is_checked(bundle: Path, tmp_path: Path) -> None:
    (bundle / "weights.bin").write_bytes(b"weights")
    record = {"path": "weights.bin", "bytes": 7, "sha256": hashlib.sha256(b"weights").hexdigest()}
    edit_manifest(bundle, lambda document: document["build"]["components"][0]["files"].append(record))
    assert ask(tmp_path, "run", bundle).code == 0
    (bundle / "weights.bin").write_bytes(b"Weights")
    answer = ask(tmp_path, "run", bundle)
    assert answer.code == 2
    assert "weights.bin: its SHA-256 is not the manifest's" in answer.document["error"]["message"]


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd"])
def test_files_stay_inside_the_bundle(bundle: Path, tmp_path: Path, path: str) -> None:
    edit_manifest(bundle, lambda document: document["build"]["components"][0]["files"][0].update(path=path))
    answer = ask(tmp_path, "measure", bundle)
    assert answer.code == 2
    assert f"{path}: leads out of the bundle" in answer.document["error"]["message"]


@pytest.mark.parametrize("text", [None, "{", "[]", '{"build": 1}'])
def test_a_directory_without_a_manifest_is_no_bundle(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "bundle").mkdir()
    if text is not None:
        (tmp_path / "bundle" / "manifest.json").write_text(text)
    answer = ask(tmp_path, "measure", tmp_path / "bundle")
    assert answer.code == 2
    assert "not a manifest of a bundle" in answer.document["error"]["message"]


def test_unknown_components_and_runtimes_are_named(bundle: Path, tmp_path: Path) -> None:
    answer = ask(tmp_path, "measure", bundle, "--component", "vocoder")
    assert answer.document["error"]["message"] == "the bundle has no component vocoder; it has synthesizer"
    edit_manifest(bundle, lambda document: document["build"]["target"].update(backend="abacus"))
    assert "the agent has no runtime abacus" in ask(tmp_path, "measure", bundle).document["error"]["message"]


@pytest.mark.parametrize("package", ["onnxruntime", "numpy"])
def test_a_missing_package_is_named_with_its_remedy(bundle: Path, tmp_path: Path, package: str) -> None:
    path = module_that(tmp_path / "path", package, f"raise ImportError('no {package} here')")
    answer = ask(tmp_path, "measure", bundle, path=path)
    assert answer.code == 3
    assert answer.document["error"]["kind"] == "missing"
    message = answer.document["error"]["message"]
    assert f"{package} cannot be imported by {sys.executable}" in message
    assert f"no {package} here" in message
    assert f"pip install {package}" in message


def test_settings_that_a_runtime_lacks_are_refused(bundle: Path, tmp_path: Path) -> None:
    answer = ask(tmp_path, "measure", bundle, "--compute-units", "ALL")
    assert answer.code == 2
    assert answer.document["error"] == {
        "kind": "setting", "message": "compute units ALL: onnxruntime has no such setting"
    }  # fmt: skip


def test_stdout_is_the_document_whatever_runtimes_print(bundle: Path, tmp_path: Path) -> None:
    noisy = "import os, sys\nprint('hello from Python')\nos.write(1, b'hello from C\\n')\nraise ImportError"
    answer = ask(tmp_path, "measure", bundle, path=module_that(tmp_path / "path", "onnxruntime", noisy))
    assert answer.document["error"]["kind"] == "missing"
    assert "hello from C" in answer.stderr


def test_conditions_of_a_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "devices/system/cpu/cpufreq/policy0/scaling_governor": "schedutil\n",
        "devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1479000\n",
        "devices/system/cpu/cpufreq/policy4/scaling_governor": "performance\n",
        "devices/system/cpu/cpufreq/policy4/scaling_cur_freq": "2400000\n",
        "class/devfreq/57000000.gpu/cur_freq": "921600000\n",
        "class/thermal/thermal_zone0/temp": "46500\n",
        "class/thermal/thermal_zone1/temp": "not now\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(agent, "SYSFS", tmp_path)
    monkeypatch.setattr(agent, "said", lambda command: "NV Power Mode: MAXN\n0" if "nvpmodel" in command else "")
    monkeypatch.setattr(sys, "platform", "linux")
    assert agent.conditions() == {
        "governor": "schedutil performance",
        "cpu_clock_mhz": "1479 2400",
        "gpu_clock_mhz": "921.6",
        "temperature_c": "46.5",
        "nvpmodel": "NV Power Mode: MAXN 0",
    }


def test_conditions_of_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "pmset -g": "System-wide power settings:\nCurrently in use:\n standby 1\n lowpowermode         0\n",
        "pmset -g batt": "Now drawing from 'AC Power'\n -InternalBattery-0 100%; charged",
    }
    monkeypatch.setattr(agent, "said", lambda command: answers[" ".join(command)])
    monkeypatch.setattr(sys, "platform", "darwin")
    assert agent.conditions() == {"lowpowermode": "0", "power_source": "AC Power"}


# Core ML, as far as it can be seen without a Mac: what the agent does with coremltools' answers.


def core_ml(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stands for coremltools on a Mac; gives the list of what it was called with."""
    calls: list[Any] = []

    class MLModel:
        def __init__(self, path: str, compute_units: Any) -> None:
            calls.append(("load", path, compute_units))

        def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
            calls.append(("predict", inputs))
            return {"y": inputs["x"] * 2}

        function_name = "frames_150"

        def get_compiled_model_path(self) -> str:
            return "compiled.mlmodelc"

    unit = type("Unit", (), {})
    units = {}
    for name in ("ALL", "CPU_AND_NE", "CPU_ONLY"):
        units[name] = unit()
        units[name].name = name

    class ComputeUnit(type):
        def __iter__(cls) -> Any:
            return iter(units.values())

        def __getitem__(cls, name: str) -> Any:
            return units[name]

    devices = {name: type(name, (), {})() for name in agent.CoreMl.places}

    def operation(name: str, device: str | None, cost: float | None) -> SimpleNamespace:
        return SimpleNamespace(outputs=[SimpleNamespace(name=name)], device=device, cost=cost)

    operations = [
        operation("weight", None, None),
        operation("conv", "MLNeuralEngineComputeDevice", 0.6),
        operation("sin", "MLCPUComputeDevice", 0.2),
        operation("cast", "MLCPUComputeDevice", None),
    ]
    functions = {
        name: SimpleNamespace(block=SimpleNamespace(operations=block))
        for name, block in (("frames_100", []), ("frames_150", operations))
    }
    plan = SimpleNamespace(
        model_structure=SimpleNamespace(program=SimpleNamespace(functions=functions)),
        get_compute_device_usage_for_mlprogram_operation=lambda operation: (
            operation.device and SimpleNamespace(preferred_compute_device=devices[operation.device])
        ),
        get_estimated_cost_for_mlprogram_operation=lambda operation: (
            None if operation.cost is None else SimpleNamespace(weight=operation.cost)
        ),
    )
    library: Any = ModuleType("coremltools")
    library.__version__ = "9.0"
    library.models = SimpleNamespace(MLModel=MLModel)
    library.ComputeUnit = ComputeUnit("ComputeUnit", (), {})
    plans: Any = ModuleType("coremltools.models.compute_plan")
    plans.MLComputePlan = SimpleNamespace(
        load_from_path=lambda path, compute_units: calls.append(("plan", path, compute_units.name)) or plan
    )
    monkeypatch.setitem(sys.modules, "coremltools", library)
    monkeypatch.setitem(sys.modules, "coremltools.models", ModuleType("coremltools.models"))
    monkeypatch.setitem(sys.modules, "coremltools.models.compute_plan", plans)
    monkeypatch.setattr(sys, "platform", "darwin")
    return calls


TARGET = {"threads": None, "capabilities": {"compute_units": "CPU_AND_NE"}}


def test_core_ml_runs_and_tells_where(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = core_ml(monkeypatch)
    runtime = agent.CoreMl(TARGET, None, None)
    assert runtime.settings == {"compute_units": "CPU_AND_NE"}
    assert runtime.versions == {"coremltools": "9.0"}
    main = Path("bundle/voice.mlpackage/Manifest.json")
    run = runtime.load(main, {})
    found = run({"x": np.ones((1, 2), np.float32), "sid": np.array([1], np.int64)})
    assert found["y"].tolist() == [[2.0, 2.0]]
    assert calls[0][1] == str(main.parent)
    assert calls[1][1]["sid"].dtype == np.int32
    places, costs = runtime.placements(main)
    assert places == {"conv": "ANE", "sin": "CPU", "cast": "CPU"}
    assert costs == {"ANE": pytest.approx(0.75), "CPU": pytest.approx(0.25)}
    assert calls[-1] == ("plan", "compiled.mlmodelc", "CPU_AND_NE")


@pytest.mark.parametrize("error", [ImportError, RuntimeError("macOS 14.4 is needed")])
def test_core_ml_that_does_not_tell_where(monkeypatch: pytest.MonkeyPatch, error: Any) -> None:
    core_ml(monkeypatch)
    runtime = agent.CoreMl(TARGET, None, None)
    runtime.load(Path("voice.mlpackage/Manifest.json"), {})
    if error is ImportError:
        monkeypatch.setitem(sys.modules, "coremltools.models.compute_plan", None)
    else:
        plans = sys.modules["coremltools.models.compute_plan"]
        monkeypatch.setattr(plans, "MLComputePlan", SimpleNamespace(load_from_path=raising(error)))
    with pytest.raises(agent.PlacementError, match="MLComputePlan is not to be had"):
        runtime.placements(Path("voice.mlpackage/Manifest.json"))


def raising(error: Exception) -> Any:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    return fail


def test_core_ml_takes_the_units_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    core_ml(monkeypatch)
    assert agent.CoreMl(TARGET, None, "CPU_ONLY").settings == {"compute_units": "CPU_ONLY"}
    with pytest.raises(agent.SettingError, match="compute units GPU: Core ML has ALL, CPU_AND_NE, CPU_ONLY"):
        agent.CoreMl(TARGET, None, "GPU")
    with pytest.raises(agent.SettingError, match="threads 4: coreml chooses its threads itself"):
        agent.CoreMl(TARGET, 4, None)


@pytest.mark.skipif(sys.platform == "darwin", reason="has Core ML")
def test_core_ml_is_missing_elsewhere() -> None:
    with pytest.raises(agent.MissingError, match="Core ML is part of macOS"):
        agent.CoreMl(TARGET, None, None)
