"""ONNX Runtime."""

from pathlib import Path
from typing import Any, Dict, Optional

from voxc.compiler.device.agent.bundle import Arrays
from voxc.compiler.device.agent.need import need
from voxc.compiler.device.agent.runtime import Run, Runtime


class OnnxRuntime(Runtime):
    """ONNX Runtime on the CPU, set up as voxc does it on the host."""

    name = "onnxruntime"

    def __init__(self, target: Dict[str, Any], threads: Optional[int], units: Optional[str]) -> None:
        super().__init__(target, threads, units)
        self.refuse_units(units)
        self.library = need(["onnxruntime"], "pip install onnxruntime")
        self.versions["onnxruntime"] = self.library.__version__
        self.threads = self.use_threads(target, threads)

    def load(self, file: Path, component: Dict[str, Any]) -> Run:
        options = self.library.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_mem_pattern = False
        session = self.library.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        outputs = [output.name for output in session.get_outputs()]

        def run(inputs: Arrays) -> Arrays:
            return dict(zip(outputs, session.run(outputs, inputs)))

        return run


RUNTIME = OnnxRuntime
