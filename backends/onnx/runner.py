"""Runs an ONNX file with ONNX Runtime. The backends whose artifacts are ONNX share it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from voxc.compiler.core.errors import BundleError, TensorError
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.telemetry import import_onnxruntime
from voxc.compiler.core.tensor import Array

onnxruntime = import_onnxruntime()
WARNINGS_OFF = 3
CPU = "CPUExecutionProvider"


class OnnxRuntimeRunner(Runner):
    """One inference session with `threads` threads for each operator and none across operators.

    The graph is run as it stands if it is not to be `optimized`. With `exact`, pairs of QuantizeLinear and
    DequantizeLinear are computed as ONNX defines them, in floats: on some CPUs the integer kernels that such pairs are
    fused to add up in 16 bits and saturate. What `provider` cannot compute, the CPU does.
    """

    def __init__(
        self,
        file: Path,
        threads: int,
        *,
        optimized: bool = True,
        exact: bool = False,
        provider: str = CPU,
    ) -> None:
        options = onnxruntime.SessionOptions()
        if exact:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        if not optimized:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = WARNINGS_OFF
        # The pattern of a first run is laid out beside what that run has taken: a fifth more memory, no less time.
        options.enable_mem_pattern = False
        try:
            providers = [provider, CPU] if provider != CPU else [CPU]
            self.session = onnxruntime.InferenceSession(str(file), options, providers=providers)
        except REFUSALS as error:
            raise BundleError(f"{file}: ONNX Runtime refuses it: {error}") from error
        self.outputs = [output.name for output in self.session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            return dict(zip(self.outputs, self.session.run(self.outputs, dict(inputs)), strict=True))
        except (*REFUSALS, ValueError) as error:
            raise TensorError(f"ONNX Runtime could not run these inputs: {error}") from error


# ONNX Runtime's errors have no base class of their own.
_state = onnxruntime.capi.onnxruntime_pybind11_state
REFUSALS = (
    _state.Fail, _state.InvalidArgument, _state.InvalidGraph, _state.InvalidProtobuf, _state.NoSuchFile,
    _state.NotImplemented, _state.RuntimeException,
)  # fmt: skip
