"""TensorFlow Lite."""

import importlib
from pathlib import Path
from typing import Any, Dict, Optional

from voxc.compiler.device.agent.bundle import Arrays
from voxc.compiler.device.agent.need import need
from voxc.compiler.device.agent.runtime import Run, Runtime


class Tflite(Runtime):
    """LiteRT, or TensorFlow Lite as older systems have it, with XNNPACK."""

    name = "tflite"

    def __init__(self, target: Dict[str, Any], threads: Optional[int], units: Optional[str]) -> None:
        super().__init__(target, threads, units)
        self.refuse_units(units)
        names = ("ai_edge_litert", "tflite_runtime", "tensorflow.lite.python")
        self.library = need(
            [name + ".interpreter" for name in names], "pip install ai-edge-litert, or tflite-runtime on an old system"
        )
        package = self.library.__name__.split(".")[0]
        self.versions[package] = getattr(importlib.import_module(package), "__version__", "unknown")
        self.threads = self.use_threads(target, threads)

    def load(self, file: Path, component: Dict[str, Any]) -> Run:
        interpreter = self.library.Interpreter(str(file), num_threads=self.threads)
        interpreter.allocate_tensors()
        indices = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
        outputs = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}

        def run(inputs: Arrays) -> Arrays:
            for name, array in inputs.items():
                interpreter.set_tensor(indices[name], array)
            interpreter.invoke()
            return {name: interpreter.get_tensor(index) for name, index in outputs.items()}

        return run


RUNTIME = Tflite
