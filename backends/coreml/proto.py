"""From the protobuf messages of an ML program to what `mil` describes.

Field by field as in MIL.proto of apple/coremltools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from voxc.backends.coreml.blobs import PACKED, BlobFile, bytes_of, decode
from voxc.backends.coreml.mil import UNKNOWN, Argument, Block, Constant, Function, Named, Operation, TensorType
from voxc.compiler.core.errors import BundleError
from voxc.compiler.core.tensor import Array

DTYPES = {
    1: "bool", 2: "string", 10: "float16", 11: "float32", 12: "float64", 13: "bfloat16", 21: "int8", 22: "int16",
    23: "int32", 24: "int64", 25: "int4", 31: "uint8", 32: "uint16", 33: "uint32", 34: "uint64", 35: "uint4",
    36: "uint2", 37: "uint1", 38: "uint6", 39: "uint3",
}  # fmt: skip
#: The dtypes that each field of an immediate tensor may hold.
FIELDS = {
    "floats": ("float32",),
    "doubles": ("float64",),
    "ints": ("int32", "int16", "uint16", "int8", "uint8"),
    "longInts": ("int64", "uint64"),
    "bools": ("bool",),
    "strings": ("string",),
    "bytes": ("float16", "bfloat16", "float32", "int8", "uint8", "int16", "uint16", "int32", "uint32", *PACKED),
}
#: What stands for the model's own folder in the name of a file.
MODEL_FOLDER = "@model_path/"
#: Of a constant.
MAX_ELEMENTS = 1 << 31


class ProgramReader:
    """Reads the functions of one program. `find` gives the path of a file that the program names."""

    def __init__(self, file: Path, find: Callable[[str], Path]) -> None:
        self.file = file
        self.find = find
        self.blobs: dict[str, BlobFile] = {}

    def function(self, name: str, message: Any) -> Function:
        opset = message.opset
        if opset not in message.block_specializations:
            raise BundleError(f"{self.file}: function {name} has no block for its opset {opset!r}")
        block = self.block(message.block_specializations[opset])
        return Function(name, opset, tuple(self.named(entry) for entry in message.inputs), block)

    def block(self, message: Any) -> Block:
        return Block(
            tuple(self.named(entry) for entry in message.inputs),
            tuple(message.outputs),
            tuple(self.operation(operation) for operation in message.operations),
        )

    def operation(self, message: Any) -> Operation:
        outputs = tuple(self.named(entry) for entry in message.outputs)
        where = f"{message.type} {outputs[0].name if outputs else ''}".strip()
        inputs: dict[str, tuple[Argument, ...]] = {}
        for parameter, argument in sorted(message.inputs.items()):  # protobuf has them in any order
            inputs[parameter] = tuple(self.argument(binding, f"{where}, {parameter}") for binding in argument.arguments)
        attributes = self.attributes(message.attributes, where)
        return Operation(
            message.type, inputs, outputs, attributes, tuple(self.block(block) for block in message.blocks)
        )

    def attributes(self, messages: Mapping[str, Any], where: str) -> dict[str, Constant]:
        return {key: self.constant(value, f"{where}, {key}") for key, value in sorted(messages.items())}

    def argument(self, binding: Any, where: str) -> Argument:
        if binding.WhichOneof("binding") == "name":
            name: str = binding.name
            return name
        return self.constant(binding.value, where)

    def named(self, message: Any) -> Named:
        return Named(message.name, self.type(message.type, message.name))

    def type(self, message: Any, where: str) -> TensorType:
        kind = message.WhichOneof("type")
        if kind == "stateType":
            wrapped = self.type(message.stateType.wrappedType, where)
            return TensorType(wrapped.dtype, wrapped.shape, "state")
        if kind != "tensorType":
            return TensorType("", None, str(kind))
        tensor = message.tensorType
        if tensor.dataType not in DTYPES:
            raise BundleError(f"{self.file}: {where}: unknown data type {tensor.dataType}")
        if tensor.rank < 0:
            return TensorType(DTYPES[tensor.dataType], None)
        if tensor.rank != len(tensor.dimensions):
            raise BundleError(f"{self.file}: {where}: rank {tensor.rank} with {len(tensor.dimensions)} dimensions")
        sizes = [self.size(dimension) for dimension in tensor.dimensions]
        return TensorType(DTYPES[tensor.dataType], tuple(sizes))

    def size(self, dimension: Any) -> int | None:
        return dimension.constant.size if dimension.WhichOneof("dimension") == "constant" else UNKNOWN

    def constant(self, message: Any, where: str) -> Constant:
        """A value, whose place and size are checked here and which is decoded when it is asked for."""
        type_ = self.type(message.type, where)
        if type_.kind != "tensor":
            return Constant(type_, lambda: self.refuse(where, type_.kind))
        shape = tuple(size for size in type_.shape or () if size is not None)
        if type_.count is None or type_.count > MAX_ELEMENTS:
            raise BundleError(f"{self.file}: {where}: a constant of type {type_}")
        if message.WhichOneof("value") == "blobFileValue":
            place = (message.blobFileValue.fileName, message.blobFileValue.offset)
            raw = self.blob(place[0], where).locate(place[1], type_.dtype, type_.count)
            return Constant(type_, lambda: decode(raw, type_.dtype, shape), len(raw), place)
        value = self.immediate(message.immediateValue, type_.dtype, shape, where)
        return Constant(type_, lambda: value)

    def blob(self, name: str, where: str) -> BlobFile:
        if not name.startswith(MODEL_FOLDER):
            raise BundleError(f"{self.file}: {where}: weights at {name!r}, which is not in {MODEL_FOLDER}")
        if name not in self.blobs:
            self.blobs[name] = BlobFile(self.find(name.removeprefix(MODEL_FOLDER)))
        return self.blobs[name]

    def immediate(self, message: Any, dtype: str, shape: tuple[int, ...], where: str) -> Array:
        """A value that stands in the program itself."""
        if message.WhichOneof("value") != "tensor":
            raise BundleError(f"{self.file}: {where}: a tensor type with a {message.WhichOneof('value')} value")
        kind = message.tensor.WhichOneof("value")
        if dtype not in FIELDS.get(kind, ()):
            raise BundleError(f"{self.file}: {where}: {dtype} values in the field {kind}")
        values = getattr(message.tensor, kind).values
        count = int(np.prod(shape, dtype=object))
        expected = bytes_of(dtype, count) if kind == "bytes" else count
        if len(values) != expected:
            raise BundleError(f"{self.file}: {where}: {len(values)} instead of {expected} values")
        if kind == "bytes":
            return decode(np.frombuffer(values, np.uint8), dtype, shape)
        if dtype == "string":
            return np.array(list(values), dtype=object).reshape(shape)
        wide = np.array(values)
        narrow = wide.astype(dtype).reshape(shape)
        if not np.array_equal(narrow.reshape(-1), wide, equal_nan=wide.dtype.kind == "f"):
            raise BundleError(f"{self.file}: {where}: values beyond {dtype}")
        return narrow

    def refuse(self, where: str, kind: str) -> Array:
        raise BundleError(f"{self.file}: {where}: a {kind} where a tensor is expected")
