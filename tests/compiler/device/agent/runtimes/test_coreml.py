"""Core ML, as far as it can be seen without a Mac: what the agent does with coremltools' answers."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from voxc.compiler.core.device_errors import MissingError, SettingError
from voxc.compiler.device.agent.runtime import PlacementError
from voxc.compiler.device.agent.runtimes.coreml import CoreMl


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

    devices = {name: type(name, (), {})() for name in CoreMl.places}

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
    runtime = CoreMl(TARGET, None, None)
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
    runtime = CoreMl(TARGET, None, None)
    runtime.load(Path("voice.mlpackage/Manifest.json"), {})
    if error is ImportError:
        monkeypatch.setitem(sys.modules, "coremltools.models.compute_plan", None)
    else:
        plans = sys.modules["coremltools.models.compute_plan"]
        monkeypatch.setattr(plans, "MLComputePlan", SimpleNamespace(load_from_path=raising(error)))
    with pytest.raises(PlacementError, match="MLComputePlan is not to be had"):
        runtime.placements(Path("voice.mlpackage/Manifest.json"))


def raising(error: Exception) -> Any:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    return fail


def test_core_ml_takes_the_units_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    core_ml(monkeypatch)
    assert CoreMl(TARGET, None, "CPU_ONLY").settings == {"compute_units": "CPU_ONLY"}
    with pytest.raises(SettingError, match="compute units GPU: Core ML has ALL, CPU_AND_NE, CPU_ONLY"):
        CoreMl(TARGET, None, "GPU")
    with pytest.raises(SettingError, match="threads 4: coreml chooses its threads itself"):
        CoreMl(TARGET, 4, None)


@pytest.mark.skipif(sys.platform == "darwin", reason="has Core ML")
def test_core_ml_is_missing_elsewhere() -> None:
    with pytest.raises(MissingError, match="Core ML is part of macOS"):
        CoreMl(TARGET, None, None)
