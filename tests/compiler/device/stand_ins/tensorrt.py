"""Stands for NVIDIA's `tensorrt`: what the agent uses of it, as 8.2 has it, or as 10 has it.

FAKE_TENSORRT is the version. A serialized engine is what the builder was told, as JSON, and the ONNX file, which ONNX
Runtime runs on the addresses that the agent gives. What one version has and the other lacks is missing here as well.
"""

from __future__ import annotations

import ctypes
import enum
import json
import os

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
    OnnxParserFlag = enum.Enum("OnnxParserFlag", "NATIVE_INSTANCENORM")
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


plugins = []


def init_libnvinfer_plugins(logger, namespace):
    plugins.append("InstanceNormalization_TRT")
    return True


if int(__version__.split(".")[0]) < 11:

    class IInt8EntropyCalibrator2:
        pass


HostMemory = bytearray  # a buffer, and no `bytes`


class Tensor:
    def __init__(self, dtype, name="", shape=()):
        self.dtype, self.name, self.shape = dtype, name, shape


class Profile:
    """Of each input with open axes, the shapes that it may have."""

    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):
        if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("Shape provided for min is inconsistent with other shapes.")
        self.shapes[input] = [list(min), list(opt), list(max)]


#: Layers that have weights of their own; other constants are tensors, which the parser does not give their names.
WITH_WEIGHTS = ("Conv", "ConvTranspose")


def named(name, weights):
    return f"(Unnamed Layer*) [Constant]_output of {name}" if name in weights else name


class Layer:
    __slots__ = ("_precision", "inputs", "name", "num_inputs", "num_outputs", "output_types", "outputs", "type")

    def __init__(self, node, dtypes, weights):
        known = {
            "Constant": "CONSTANT",
            "Shape": "SHAPE",
            "QuantizeLinear": "QUANTIZE",
            "DequantizeLinear": "DEQUANTIZE",
        }
        self.name, self.type = node.name, LayerType[known.get(node.op_type, "OTHER")]
        names = [name for name in node.input if name not in weights or node.op_type not in WITH_WEIGHTS]
        self.inputs = [Tensor(dtypes.get(name, float32), named(name, weights)) if name else None for name in names]
        self.outputs = [Tensor(dtypes.get(name, float32), name) for name in node.output]
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
    num_layers = num_inputs = 0
    layers = inputs = ()

    def get_input(self, index):
        return self.inputs[index]

    def get_layer(self, index):
        return self.layers[index]


class OnnxParser:
    num_errors = 0
    native = False

    def set_flag(self, flag):
        self.native = flag == OnnxParserFlag.NATIVE_INSTANCENORM

    def __init__(self, network, logger):
        self.network = network

    def parse_from_file(self, path):
        assert isinstance(path, str)
        assert self.native != OLD
        if os.environ.get("FAKE_REFUSAL"):
            self.num_errors = 1
            return False
        model = onnx.load(path)  # with weights that lie beside it
        self.network.content = model.SerializeToString()
        graph = onnx.shape_inference.infer_shapes(model).graph
        assert self.native or plugins, "an instance norm is a plugin"
        values = (*graph.input, *graph.value_info, *graph.output)
        dtypes = {value.name: ONNX_TYPES[value.type.tensor_type.elem_type] for value in values}
        weights = {each.name for each in graph.initializer}
        self.network.layers = [Layer(node, dtypes, weights) for node in graph.node]
        self.network.num_layers = len(self.network.layers)
        self.network.inputs = [Tensor(dtypes[each.name], each.name, shape_of(each)) for each in graph.input]
        self.network.num_inputs = len(self.network.inputs)
        return True

    def get_error(self, index):
        return os.environ["FAKE_REFUSAL"]


def shape_of(value):
    """Open axes are -1."""
    return tuple(size.dim_value or -1 for size in value.type.tensor_type.shape.dim)


class TimingCache:
    def __init__(self, content):
        self.content = content

    def serialize(self):
        return HostMemory(TIMINGS)


class Config:
    """What both versions have. TF32 is on from the beginning."""

    def __init__(self):
        self.flags, self.cache, self.workspace, self.int8_calibrator = {BuilderFlag.TF32}, None, None, None
        self.profile = None

    def add_optimization_profile(self, profile):
        self.profile = profile
        return 0

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

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        shapes = config.profile.shapes if config.profile else {}
        if {each.name for each in network.inputs if -1 in each.shape} - shapes.keys():
            self.logger.log(ILogger.Severity.ERROR, "Network has dynamic or shape inputs, but no optimization profile")
            return None
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
            "profiles": shapes,
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
        profiles = json.loads(told)["profiles"]
        return OldEngine(content, profiles) if OLD else NewEngine(content, profiles)


class Engine:
    def __init__(self, content, profiles):
        self._session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        self._profiles = profiles
        kinds = {"tensor(float)": float32, "tensor(int32)": int32, "tensor(bool)": bool, "tensor(int64)": ONNX_TYPES[7]}
        sides = ((True, self._session.get_inputs()), (False, self._session.get_outputs()))
        self._names = [each.name for _, side in sides for each in side]
        self._goes_in = {each.name: goes_in for goes_in, side in sides for each in side}
        self._dtypes = {each.name: kinds[each.type] for _, side in sides for each in side}
        self._shapes = {
            each.name: tuple(size if isinstance(size, int) else -1 for size in each.shape)
            for _, side in sides
            for each in side
        }
        self._wide = {each.name for each in self._session.get_inputs() if each.type == "tensor(int64)"}

    def create_execution_context(self):
        return OldContext(self) if OLD else NewContext(self)


class OldEngine(Engine):
    @property
    def num_bindings(self):
        return len(self._names)

    def get_binding_name(self, index):
        return self._names[index]

    def binding_is_input(self, index):
        return self._goes_in[self._names[index]]

    def get_binding_shape(self, index):
        return self._shapes[self._names[index]]

    def get_binding_dtype(self, index):
        return self._dtypes[self._names[index]]

    def get_profile_shape(self, profile_index, binding):
        assert profile_index == 0
        return self._profiles[self._names[binding]]


class NewEngine(Engine):
    @property
    def num_io_tensors(self):
        return len(self._names)

    def get_tensor_name(self, index):
        return self._names[index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if self._goes_in[name] else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name):
        return self._shapes[name]

    def get_tensor_dtype(self, name):
        return self._dtypes[name]

    def get_tensor_profile_shape(self, name, profile_index):
        assert profile_index == 0
        return self._profiles[name]


class Context:
    """Inputs with open axes have no shape until one is set; those of outputs follow from all of them."""

    def __init__(self, engine):
        self._engine, self._given, self._known = engine, {}, {}

    def _set(self, name, shape):
        least, _, most = self._engine._profiles[name]
        if not all(a <= size <= b for a, size, b in zip(least, shape, most, strict=True)):
            return False
        self._given[name] = tuple(shape)
        return True

    def _shape(self, name):
        shape = self._given.get(name, self._engine._shapes[name])
        if -1 not in shape or self._engine._goes_in[name]:
            return shape
        shapes = {each: self._shape(each) for each in self._engine._names if self._engine._goes_in[each]}
        if any(-1 in each for each in shapes.values()):
            return shape
        key = tuple(shapes.values())
        if key not in self._known:
            self._known[key] = self._evaluate({each: self._array(each, shape) for each, shape in shapes.items()})
        return self._known[key][name].shape

    def _array(self, name, shape):
        wide = name in self._engine._wide
        return np.zeros(shape, np.int64 if wide else NUMPY_TYPES[self._engine._dtypes[name]])

    def _evaluate(self, given):
        outputs = [name for name in self._engine._names if not self._engine._goes_in[name]]
        return dict(zip(outputs, self._engine._session.run(outputs, given), strict=True))

    def _run(self, addresses):
        arrays = {}
        for name in self._engine._names:
            numpy_type = np.dtype(NUMPY_TYPES[self._engine._dtypes[name]])
            shape = self._shape(name)
            size = int(np.prod(shape)) * numpy_type.itemsize
            buffer = (ctypes.c_char * size).from_address(addresses[name])
            arrays[name] = np.frombuffer(buffer, numpy_type).reshape(shape)
        given = {name: array for name, array in arrays.items() if self._engine._goes_in[name]}
        wide = {name: array.astype(np.int64) if name in self._engine._wide else array for name, array in given.items()}
        for name, found in self._evaluate(wide).items():
            arrays[name][...] = found
        return not os.environ.get("FAKE_LOSS")


class OldContext(Context):
    def set_binding_shape(self, binding, shape):
        return self._set(self._engine._names[binding], shape)

    def get_binding_shape(self, binding):
        return self._shape(self._engine._names[binding])

    def execute_async_v2(self, bindings, stream_handle):
        assert stream_handle
        return self._run(dict(zip(self._engine._names, bindings, strict=True)))


class NewContext(Context):
    def __init__(self, engine):
        super().__init__(engine)
        self._addresses = {}

    def set_input_shape(self, name, shape):
        return self._set(name, shape)

    def get_tensor_shape(self, name):
        return self._shape(name)

    def set_tensor_address(self, name, address):
        self._addresses[name] = address

    def execute_async_v3(self, stream_handle):
        assert stream_handle
        return self._run(self._addresses)
