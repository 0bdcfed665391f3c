"""ONNX Runtime."""

import os
from pathlib import Path
from typing import Any, Dict, Optional

from voxc.compiler.core.device_errors import MissingError
from voxc.compiler.device.agent.bundle import Arrays
from voxc.compiler.device.agent.need import need
from voxc.compiler.device.agent.runtime import Run, Runtime

CPU = "CPUExecutionProvider"


class OnnxRuntime(Runtime):
    """ONNX Runtime, set up as voxc does it on the host, with the execution provider of the target."""

    name = "onnxruntime"

    def __init__(self, target: Dict[str, Any], threads: Optional[int], units: Optional[str]) -> None:
        super().__init__(target, threads, units)
        self.refuse_units(units)
        wanted = target["capabilities"].get("options") or {}
        self.provider = wanted.get("provider", CPU)
        package = wanted.get("package", "onnxruntime")
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it would report on its use, from its import on
        self.library = need(["onnxruntime"], f"pip install {package}")
        if self.provider not in self.library.get_available_providers():
            raise MissingError(
                f"this ONNX Runtime has no {self.provider}; pip install {package} in place of onnxruntime"
            )
        self.versions["onnxruntime"] = self.library.__version__
        self.threads = self.use_threads(target, threads)

    def load(self, file: Path, component: Dict[str, Any]) -> Run:
        options = self.library.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_mem_pattern = False
        providers = [self.provider, CPU] if self.provider != CPU else [CPU]
        session = self.library.InferenceSession(str(file), options, providers=providers)
        outputs = [output.name for output in session.get_outputs()]

        def run(inputs: Arrays) -> Arrays:
            return dict(zip(outputs, session.run(outputs, inputs)))

        return run


RUNTIME = OnnxRuntime
