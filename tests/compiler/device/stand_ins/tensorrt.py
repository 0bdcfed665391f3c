"""Stands for NVIDIA's `tensorrt`: what the agent uses of it, as 8.2 has it, or as 10 has it.

FAKE_TENSORRT is the version. A serialized engine is what the builder was told, as JSON, and the ONNX file, which ONNX
Runtime runs on the addresses that the agent gives. What one version has and the other lacks is missing here as well.
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

__version__ = os.environ.get("FAKE_TENSORRT", "8.2.1.8")
OLD = int(__version__.split(".")[0]) < 10
MAGIC, TIMINGS = b"engine\n", b"timings of " + __version__.encode()

DataType = enum.Enum("DataType", "FLOAT HALF INT8 INT32 BOOL" + ("" if OLD else " INT64"))
float32, float16, int8, int32, bool = list(DataType)[:5]
if not OLD:
    int64 = DataType.INT64
LayerType = enum.Enum("LayerType", "CONSTANT SHAPE QUANTIZE DEQUANTIZE OTHER")
BuilderFlag = enum.Enum("BuilderFlag", "FP16 INT8 TF32 OBEY_PRECISION_CONSTRAINTS" + (" STRICT_TYPES" if OLD else ""))
NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH", start=0)
TensorIOMode = enum.Enum("TensorIOMode", "NONE INPUT OUTPUT")
MemoryPoolType = enum.Enum("MemoryPoolType", "WORKSPACE")

ONNX_TYPES = {1: float32, 10: float16, 3: int8, 6: int32, 7: int32 if OLD else DataType["INT64"], 9: bool}
NUMPY_TYPES = {float32: np.float32, int32: np.int32, bool: np.bool_}
if not OLD:
    NUMPY_TYPES[DataType["INT64"]] = np.int64


class ILogger:
    Severity = enum.Enum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE")


class IInt8EntropyCalibrator2:
    pass


HostMemory = bytearray  # a buffer, and no `bytes`


class Tensor:
    def __init__(self, dtype):
        self.dtype = dtype


class Layer:
    __slots__ = ("_precision", "inputs", "name", "num_inputs", "num_outputs", "output_types", "outputs", "type")

    def __init__(self, node, dtypes):
        known = {
            "Constant": "CONSTANT",
            "Shape": "SHAPE",
            "QuantizeLinear": "QUANTIZE",
            "DequantizeLinear": "DEQUANTIZE",
        }
        self.name, self.type = node.name, LayerType[known.get(node.op_type, "OTHER")]
        self.inputs = [Tensor(dtypes.get(name, float32)) if name else None for name in node.input]
        self.outputs = [Tensor(dtypes.get(name, float32)) for name in node.output]
        self.num_inputs, self.num_outputs = len(self.inputs), len(self.outputs)
        self._precision, self.output_types = None, {}

    def get_input(self, index):
        return self.inputs[index]

    def get_output(self, index):
        return self.outputs[index]

    @property
    def precision(self):
        return self._precision

    @precision.setter
    def precision(self, dtype):
        assert self.type == LayerType.OTHER, self.name
        self._precision = dtype

    def set_output_type(self, index, dtype):
        assert self.outputs[index].dtype in (float32, float16), self.name
        self.output_types[index] = dtype


class Network:
    num_layers = 0
    layers = ()

    def get_layer(self, index):
        return self.layers[index]


class OnnxParser:
    num_errors = 0

    def __init__(self, network, logger):
        self.network = network

    def parse_from_file(self, path):
        assert isinstance(path, str)
        if os.environ.get("FAKE_REFUSAL"):
            self.num_errors = 1
            return False
        self.network.content = Path(path).read_bytes()
        graph = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(self.network.content)).graph
        values = (*graph.input, *graph.value_info, *graph.output)
        dtypes = {value.name: ONNX_TYPES[value.type.tensor_type.elem_type] for value in values}
        self.network.layers = [Layer(node, dtypes) for node in graph.node]
        self.network.num_layers = len(self.network.layers)
        return True

    def get_error(self, index):
        return os.environ["FAKE_REFUSAL"]


class TimingCache:
    def __init__(self, content):
        self.content = content

    def serialize(self):
        return HostMemory(TIMINGS)


class Config:
    """What both versions have. TF32 is on from the beginning."""

    def __init__(self):
        self.flags, self.cache, self.workspace, self.int8_calibrator = {BuilderFlag.TF32}, None, None, None

    def set_flag(self, flag):
        self.flags.add(flag)

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def create_timing_cache(self, content):
        return TimingCache(bytes(content)) if not content or content.startswith(b"timings of ") else None

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache.content not in (b"", TIMINGS):
            return False
        self.cache = cache
        return True


class OldConfig(Config):
    @property
    def max_workspace_size(self):
        return self.workspace

    @max_workspace_size.setter
    def max_workspace_size(self, size):
        self.workspace = size


class NewConfig(Config):
    def __setattr__(self, name, value):
        assert name != "max_workspace_size"
        super().__setattr__(name, value)

    def set_memory_pool_limit(self, pool, size):
        assert pool == MemoryPoolType.WORKSPACE
        self.workspace = size


class Builder:
    platform_has_fast_int8 = os.environ.get("FAKE_INT8", "") == "1"

    def __init__(self, logger):
        self.logger = logger

    def create_network(self, flags):
        assert flags == 1
        return Network()

    def create_builder_config(self):
        return OldConfig() if OLD else NewConfig()

    def build_serialized_network(self, network, config):
        if os.environ.get("FAKE_FAILURE"):
            self.logger.log(ILogger.Severity.ERROR, os.environ["FAKE_FAILURE"])
            return None
        calibrator = config.int8_calibrator
        told = {
            "version": __version__,
            "workspace": config.workspace,
            "flags": sorted(flag.name for flag in config.flags),
            "held": {layer.name: layer.precision.name for layer in network.layers if layer.precision},
            "outputs": {layer.name: layer.output_types[0].name for layer in network.layers if layer.output_types},
            "timings": config.cache.content.decode(),
            "scales": calibrator.read_calibration_cache().decode() if calibrator else "",
        }
        return HostMemory(MAGIC + json.dumps(told).encode() + b"\n" + network.content)


class Runtime:
    def __init__(self, logger):
        if os.environ.get("FAKE_START"):
            logger.log(ILogger.Severity.ERROR, os.environ["FAKE_START"])
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger

    def deserialize_cuda_engine(self, plan):
        magic, told, content = bytes(plan).split(b"\n", 2)
        if magic + b"\n" != MAGIC or json.loads(told)["version"] != __version__:
            self.logger.log(ILogger.Severity.ERROR, "Serialization assertion stdVersionRead failed")
            return None
        return OldEngine(content) if OLD else NewEngine(content)


class Engine:
    def __init__(self, content):
        self._session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        kinds = {"tensor(float)": float32, "tensor(int32)": int32, "tensor(bool)": bool, "tensor(int64)": ONNX_TYPES[7]}
        sides = ((True, self._session.get_inputs()), (False, self._session.get_outputs()))
        self._tensors = [
            (each.name, goes_in, tuple(each.shape), kinds[each.type]) for goes_in, side in sides for each in side
        ]
        self._wide = {each.name for each in self._session.get_inputs() if each.type == "tensor(int64)"}

    def create_execution_context(self):
        return OldContext(self) if OLD else NewContext(self)

    def _run(self, addresses):
        given, outputs = {}, []
        for name, goes_in, shape, dtype in self._tensors:
            numpy_type = np.dtype(NUMPY_TYPES[dtype])
            size = int(np.prod(shape)) * numpy_type.itemsize
            array = np.frombuffer((ctypes.c_char * size).from_address(addresses[name]), numpy_type).reshape(shape)
            if goes_in:
                given[name] = array.astype(np.int64) if name in self._wide else array
            else:
                outputs.append((name, array))
        for (_, array), found in zip(outputs, self._session.run([name for name, _ in outputs], given), strict=True):
            array[...] = found


class OldEngine(Engine):
    @property
    def num_bindings(self):
        return len(self._tensors)

    def get_binding_name(self, index):
        return self._tensors[index][0]

    def binding_is_input(self, index):
        return self._tensors[index][1]

    def get_binding_shape(self, index):
        return self._tensors[index][2]

    def get_binding_dtype(self, index):
        return self._tensors[index][3]


class NewEngine(Engine):
    @property
    def num_io_tensors(self):
        return len(self._tensors)

    def get_tensor_name(self, index):
        return self._tensors[index][0]

    def _tensor(self, name):
        return next(each for each in self._tensors if each[0] == name)

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if self._tensor(name)[1] else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name):
        return self._tensor(name)[2]

    def get_tensor_dtype(self, name):
        return self._tensor(name)[3]


class OldContext:
    def __init__(self, engine):
        self._engine = engine

    def get_binding_shape(self, index):
        return self._engine.get_binding_shape(index)

    def execute_async_v2(self, bindings, stream_handle):
        assert stream_handle
        names = [each[0] for each in self._engine._tensors]
        self._engine._run(dict(zip(names, bindings, strict=True)))
        return not os.environ.get("FAKE_LOSS")


class NewContext:
    def __init__(self, engine):
        self._engine, self._addresses = engine, {}

    def get_tensor_shape(self, name):
        return self._engine.get_tensor_shape(name)

    def set_tensor_address(self, name, address):
        self._addresses[name] = address

    def execute_async_v3(self, stream_handle):
        assert stream_handle
        self._engine._run(self._addresses)
        return not os.environ.get("FAKE_LOSS")
