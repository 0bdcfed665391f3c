"""Core ML."""

import importlib
import platform
import sys
from pathlib import Path
from typing import Any, ClassVar, Dict, Optional, Tuple

from voxc.compiler.core.device_errors import MissingError, SettingError
from voxc.compiler.device.agent.bundle import Arrays
from voxc.compiler.device.agent.need import need
from voxc.compiler.device.agent.runtime import PlacementError, Run, Runtime


class CoreMl(Runtime):
    """Core ML on macOS, through coremltools."""

    name = "coreml"
    places: ClassVar[Dict[str, str]] = {
        "MLCPUComputeDevice": "CPU",
        "MLGPUComputeDevice": "GPU",
        "MLNeuralEngineComputeDevice": "ANE",
    }

    def __init__(self, target: Dict[str, Any], threads: Optional[int], units: Optional[str]) -> None:
        super().__init__(target, threads, units)
        self.refuse_threads(threads)
        if sys.platform != "darwin":
            raise MissingError(f"Core ML is part of macOS; this machine has {platform.system()}")
        self.library = need(["coremltools"], "pip install coremltools")
        self.versions["coremltools"] = self.library.__version__
        requested = units or target["capabilities"].get("compute_units") or "ALL"
        known = [unit.name for unit in self.library.ComputeUnit]
        if requested not in known:
            raise SettingError(f"compute units {requested}: Core ML has {', '.join(known)}")
        self.settings["compute_units"] = requested
        self.compute_units: Any = self.library.ComputeUnit[requested]
        self.models: Dict[Path, Any] = {}

    def load(self, file: Path, component: Dict[str, Any]) -> Run:
        import numpy as np

        model = self.library.models.MLModel(str(file.parent), compute_units=self.compute_units)
        self.models[file] = model

        def run(inputs: Arrays) -> Arrays:
            narrow = {name: x.astype(np.int32) if x.dtype == np.int64 else x for name, x in inputs.items()}
            return dict(model.predict(narrow))

        return run

    def placements(self, file: Path) -> Tuple[Dict[str, str], Dict[str, float]]:
        model = self.models.pop(file)  # what it was compiled to vanishes with it
        try:
            plan = importlib.import_module("coremltools.models.compute_plan").MLComputePlan.load_from_path(
                model.get_compiled_model_path(), compute_units=self.compute_units
            )
        except (ImportError, RuntimeError, ValueError) as error:  # coremltools before 8, macOS before 14.4
            raise PlacementError(f"MLComputePlan is not to be had: {error}") from error
        where: Dict[str, str] = {}
        costs: Dict[str, float] = {}
        for operation in plan.model_structure.program.functions[model.function_name or "main"].block.operations:
            usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
            if usage is None:  # constants have none
                continue
            place = self.places.get(type(usage.preferred_compute_device).__name__, "unknown")
            where[operation.outputs[0].name] = place
            cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
            costs[place] = costs.get(place, 0.0) + (cost.weight if cost is not None else 0.0)
        total = sum(costs.values())
        return where, {place: cost / total for place, cost in costs.items()} if total else {}


RUNTIME = CoreMl
