"""A TFLite file under construction: tensors, constants and operators, written in the order in which they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from voxc.backends.tflite.versions import Signature, oldest_runtime, version_of
from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.core.tensor import Array

DTYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int64": schema.TensorType.INT64,
    "int32": schema.TensorType.INT32,
    "int8": schema.TensorType.INT8,
    "bool": schema.TensorType.BOOL,
}

#: The class of an operator's options, where it has any.
OPTIONS = {
    "ADD": "AddOptions", "BATCH_MATMUL": "BatchMatMulOptions", "CAST": "CastOptions",
    "CONCATENATION": "ConcatenationOptions", "CONV_2D": "Conv2DOptions", "CUMSUM": "CumsumOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions", "DIV": "DivOptions", "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions", "GELU": "GeluOptions", "LEAKY_RELU": "LeakyReluOptions", "MEAN": "ReducerOptions",
    "MUL": "MulOptions", "RESHAPE": "ReshapeOptions", "SOFTMAX": "SoftmaxOptions",
    "STRIDED_SLICE": "StridedSliceOptions", "SUB": "SubOptions", "SUM": "ReducerOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
}  # fmt: skip

#: Operators whose number came after the one byte that old files have for it hold this in that byte.
NUMBER_IN_ONE_BYTE = 127
IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
SIGNATURE = "serving_default"
#: What TFLite's own kernels load vectors by.
ALIGNMENT = 16
#: Offsets in a FlatBuffer are 32 bits wide, one of them a sign.
MOST_BYTES = (1 << 31) - (1 << 24)
#: Where the file says which release it needs, for whoever asks it.
RUNTIME_KEY = "min_runtime_version"
#: How long the runtime's readers expect the text of a version to be.
VERSION_BYTES = 16


@dataclass(frozen=True)
class Quantization:
    """What integers stand for: (q - zero_point) * scale, with one scale or one for each index of `axis`."""

    scale: tuple[float, ...]
    zero_point: int = 0
    axis: int = 0


@dataclass(frozen=True)
class Value:
    """A tensor of the file; `quantization` where it holds integers that stand for real numbers."""

    index: int
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None
    constant: bool = False


class AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """Bytes that start at a multiple of `ALIGNMENT`, which the generated class does not see to."""

    def Pack(self, builder: Any) -> int:
        offset = None
        if self.data is not None:
            builder.StartVector(1, len(self.data), ALIGNMENT)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = memoryview(self.data)
            offset = builder.EndVector()
        schema.BufferStart(builder)
        if offset is not None:
            schema.BufferAddData(builder, offset)
        return schema.BufferEnd(builder)


@dataclass(frozen=True)
class Operator:
    """A call of an operator; `options` by their names in the schema."""

    code: str
    version: int
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    options: Mapping[str, Any]

    @property
    def values(self) -> list[Value]:
        return [value for value in (*self.inputs, *self.outputs) if value is not None]

    def pack(self, codes: list[tuple[str, int]], places: Mapping[int, int]) -> Any:
        """With the numbers that its type and its tensors have in the file."""
        operator = schema.OperatorT(
            opcodeIndex=codes.index((self.code, self.version)),
            inputs=[-1 if value is None else places[value.index] for value in self.inputs],
            outputs=[places[value.index] for value in self.outputs],
        )
        if self.code in OPTIONS:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, OPTIONS[self.code])
            operator.builtinOptions = getattr(schema, f"{OPTIONS[self.code]}T")(**self.options)
        return operator


class TfliteFile:
    """Tensors and operators of one graph. The same calls in the same order give the same bytes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: list[Any] = []
        self.operators: list[Operator] = []
        self.buffers = [AlignedBuffer()]  # by convention the first holds nothing
        self.constants: dict[tuple[object, ...], Value] = {}
        self.bytes = 0

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str, quantization: Quantization | None = None, buffer: int = 0
    ) -> Value:
        tensor = schema.TensorT(name=name.encode(), shape=list(shape), type=DTYPES[dtype], buffer=buffer)
        if quantization is not None:
            tensor.quantization = parameters(quantization)
        self.tensors.append(tensor)
        return Value(len(self.tensors) - 1, tuple(shape), dtype, quantization, constant=buffer > 0)

    def constant(self, array: Array, name: str | None = None, quantization: Quantization | None = None) -> Value:
        """A tensor with these values; equal ones are one, under the name that came first."""
        array = np.ascontiguousarray(array)
        key = (str(array.dtype), array.shape, sha256(array.data).digest(), quantization)
        if key not in self.constants:
            self.bytes += array.nbytes
            if self.bytes > MOST_BYTES:
                raise UnsupportedError(
                    f"{self.name}: more than {MOST_BYTES >> 20} MiB of constants do not fit a TFLite "
                    "file; compile for a lower precision or another target"
                )
            self.buffers.append(AlignedBuffer(data=array.reshape(-1).view(np.uint8)))
            name = name or f"constant_{len(self.constants)}"
            buffer = len(self.buffers) - 1
            self.constants[key] = self.tensor(name, array.shape, str(array.dtype), quantization, buffer)
        return self.constants[key]

    def operator(self, code: str, inputs: Sequence[Value | None], outputs: Sequence[Value], **options: Any) -> None:
        """`options` by their names in the schema; an input that is left out is None."""
        version = version_of(code, Signature(tuple(inputs), tuple(outputs), options))
        self.operators.append(Operator(code, version, tuple(inputs), tuple(outputs), options))

    def stand_for(self, value: Value, quantization: Quantization) -> Value:
        """Makes the integers of a tensor, which stood for themselves, stand for real numbers."""
        self.tensors[value.index].quantization = parameters(quantization)
        return replace(value, quantization=quantization)

    def rename(self, value: Value, name: str) -> None:
        self.tensors[value.index].name = name.encode()

    def pack(self, inputs: Mapping[str, Value], outputs: Mapping[str, Value]) -> memoryview:
        """The bytes of the file, which has what the outputs need and no more."""
        operators = self.live_operators(outputs.values())
        codes = list(dict.fromkeys((operator.code, operator.version) for operator in operators))
        kept = {value.index for value in (*inputs.values(), *outputs.values())}
        kept |= {value.index for operator in operators for value in operator.values}
        places = {index: place for place, index in enumerate(sorted(kept))}
        buffers = [AlignedBuffer()]
        for index in places:
            tensor = self.tensors[index]
            if tensor.buffer:
                buffers.append(self.buffers[tensor.buffer])
                tensor.buffer = len(buffers) - 1
        runtime = np.frombuffer(oldest_runtime(codes).encode().ljust(VERSION_BYTES, b"\0"), np.uint8)
        ends = [{name: places[value.index] for name, value in named.items()} for named in (inputs, outputs)]
        graph = schema.SubGraphT(
            name=self.name.encode(),
            tensors=[self.tensors[index] for index in places],
            operators=[operator.pack(codes, places) for operator in operators],
            inputs=list(ends[0].values()),
            outputs=list(ends[1].values()),
        )
        maps = [
            [schema.TensorMapT(name=name.encode(), tensorIndex=place) for name, place in named.items()]
            for named in ends
        ]
        model = schema.ModelT(
            version=SCHEMA_VERSION,
            description="voxc",
            operatorCodes=[operator_code(code, version) for code, version in codes],
            subgraphs=[graph],
            buffers=[*buffers, AlignedBuffer(data=runtime)],
            metadata=[schema.MetadataT(name=RUNTIME_KEY, buffer=len(buffers))],
            signatureDefs=[schema.SignatureDefT(inputs=maps[0], outputs=maps[1], signatureKey=SIGNATURE)],
        )
        builder = flatbuffers.Builder(self.bytes + (1 << 20))
        builder.Finish(model.Pack(builder), IDENTIFIER)
        return memoryview(builder.Bytes)[builder.Head() :]

    def live_operators(self, outputs: Iterable[Value]) -> list[Operator]:
        """The operators that the outputs need, in order."""
        needed = {value.index for value in outputs}
        live = []
        for operator in reversed(self.operators):
            if any(value.index in needed for value in operator.outputs):
                live.append(operator)
                needed |= {value.index for value in operator.inputs if value is not None}
        return live[::-1]


def parameters(quantization: Quantization) -> Any:
    return schema.QuantizationParametersT(
        scale=np.array(quantization.scale, np.float32),
        zeroPoint=np.full(len(quantization.scale), quantization.zero_point, np.int64),
        quantizedDimension=quantization.axis,
    )


def operator_code(code: str, version: int) -> Any:
    number = getattr(schema.BuiltinOperator, code)
    return schema.OperatorCodeT(
        builtinCode=number, deprecatedBuiltinCode=min(number, NUMBER_IN_ONE_BYTE), version=version
    )
