"""Proves, node by node, that a version of TensorRT takes an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, defs, helper, numpy_helper

from voxc.backends.tensorrt.table import Limit, Table
from voxc.compiler.core.tensor import Array

#: TensorRT's names of ONNX's types.
TYPES = {
    TensorProto.FLOAT: "FP32", TensorProto.FLOAT16: "FP16", TensorProto.BFLOAT16: "BF16", TensorProto.DOUBLE: "FP64",
    TensorProto.INT8: "INT8", TensorProto.UINT8: "UINT8", TensorProto.INT32: "INT32", TensorProto.INT64: "INT64",
    TensorProto.BOOL: "BOOL", TensorProto.FLOAT8E4M3FN: "FP8", TensorProto.INT4: "INT4",
}  # fmt: skip
#: What a network may take and give. Truth values at its borders are left out: not every version has them.
BORDER = frozenset({"FP32", "FP16", "BF16", "INT32", "INT64"})
#: Integers of 64 bits for older versions, which read 32.
NARROWED = {"INT64": "INT32"}
PLACES = ({"tensor(int32)", "tensor(int64)"}, {"tensor(int64)"}, {"tensor(bool)"})
#: What only goes through integers and floats of other lengths is as constant as what it came from.
ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear", "Cast", "Identity"})
#: Operators whose result has a type of its own, which the table's types speak of as well.
GIVES = frozenset({"Cast", "ConstantOfShape", "Constant"})
#: Inputs that say how far, which a cut to 32 bits does not change.
FAR = frozenset({("Slice", "starts"), ("Slice", "ends")})


@dataclass(frozen=True)
class Complaint:
    """Why a table does not take a node."""

    table: Table
    node: str
    op: str
    reason: str
    remedy: str = ""


class Reading:
    """An ONNX model as a parser reads it: types and shapes of tensors (0 for a size that is not known), and which of
    them the file has."""

    def __init__(self, model: ModelProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        graph = inferred.graph
        self.model = model
        self.nodes = list(graph.node)
        self.opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
        self.initializers = {each.name: each for each in graph.initializer}
        self.makers = {name: node for node in graph.node for name in node.output}
        self.kinds = {name: each.data_type for name, each in self.initializers.items()}
        self.shapes = {name: tuple(each.dims) for name, each in self.initializers.items()}
        for value in (*graph.input, *graph.value_info, *graph.output):
            tensor = value.type.tensor_type
            self.kinds[value.name] = tensor.elem_type
            self.shapes[value.name] = tuple(size.dim_value for size in tensor.shape.dim)

    def type_of(self, name: str) -> str:
        return TYPES.get(self.kinds.get(name, 0), "?")

    def array(self, name: str) -> Array | None:
        """The value of an initializer or of a constant in the graph; None for others, and for what lies in a file
        beside it, where only large weights are."""
        tensor = self.tensor(name)
        return None if tensor is None or tensor.external_data else numpy_helper.to_array(tensor)

    def tensor(self, name: str) -> TensorProto | None:
        """An initializer or a constant in the graph."""
        maker = self.makers.get(name)
        if maker is not None and maker.op_type == "Constant" and maker.attribute[0].name == "value":
            return maker.attribute[0].t
        return self.initializers.get(name)

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is in the file, or comes from there by rounding alone."""
        if name in self.initializers or name not in self.makers:
            return name in self.initializers
        maker = self.makers[name]
        return maker.op_type == "Constant" or (maker.op_type in ROUNDING and self.is_constant(maker.input[0]))


def complaints(reading: Reading, table: Table) -> Iterator[Complaint]:
    """All that the parser would refuse, in the order of the graph."""
    if reading.opset > table.opset:
        yield Complaint(table, "", "", f"the file has opset {reading.opset}, and the parser ends at {table.opset}")
    for value in (*reading.model.graph.input, *reading.model.graph.output):
        kind = reading.type_of(value.name)
        if kind not in BORDER:
            yield Complaint(table, value.name, "", f"a network cannot take or give {kind}", "make it float32 or int32")
    for node in reading.nodes:
        yield from (
            Complaint(table, node.name, node.op_type, reason, remedy)
            for check in CHECKS
            for reason, remedy in check(reading, node, table)
        )


Reasons = Iterator[tuple[str, str]]
Check = Callable[[Reading, NodeProto, Table], Reasons]


def knows(reading: Reading, node: NodeProto, table: Table) -> Reasons:
    """The operator is in the table, and all that restricts it is written down."""
    if node.domain not in ("", "ai.onnx"):
        yield f"its domain is {node.domain}", "leave out custom operators"
    elif node.op_type not in table.operators:
        yield "the parser does not know it", "write it with operators that it knows, or choose a newer target"
    elif node.op_type in table.unchecked:
        yield "it has restrictions that are not checked", "write it with other operators"


def types(reading: Reading, node: NodeProto, table: Table) -> Reasons:
    """Its data have types that the table lists."""
    allowed = table.operators.get(node.op_type)
    if allowed is None or node.domain not in ("", "ai.onnx"):
        return
    names = [name for name, _ in data_inputs(node, reading.opset)]
    for name in [*names, *(node.output if node.op_type in GIVES else ())]:
        kind = reading.type_of(name)
        seen = kind if table.has_int64 else NARROWED.get(kind, kind)
        if seen not in allowed:
            yield (
                f"its data are {kind}, and the parser takes {', '.join(sorted(allowed))}",
                "cast the data before it, or compute it in float32",
            )
            return


def fits(reading: Reading, node: NodeProto, table: Table) -> Reasons:
    """Integers in the file fit into 32 bits where the parser has no more."""
    if table.has_int64:
        return
    limits = np.iinfo(np.int32)
    for place, name in enumerate(node.input):
        array = reading.array(name) if reading.kinds.get(name) == TensorProto.INT64 else None
        if array is None or not array.size:
            continue
        if array.min() >= limits.min and array.max() <= limits.max:
            continue
        if (node.op_type, input_name(node, reading.opset, place)) not in FAR:
            yield f"{name} is beyond 32 bits", "keep integers below 2^31"


def limits(reading: Reading, node: NodeProto, table: Table) -> Reasons:
    """What the table asks of inputs and attributes."""
    for limit in table.limits_of(node.op_type):
        if limit.attribute is not None:
            yield from attribute_limit(node, reading.opset, limit)
            continue
        for place, name in enumerate(node.input):
            if name and input_name(node, reading.opset, place) == limit.input:
                yield from input_limit(reading, name, limit)


def attribute_limit(node: NodeProto, opset: int, limit: Limit) -> Reasons:
    assert limit.attribute is not None
    given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    value = given.get(limit.attribute, default_of(node, opset, limit.attribute))
    if value != limit.only:
        yield f"{limit.attribute} is {value}, and the parser does as if it were {limit.only}", "negate the data"


def input_limit(reading: Reading, name: str, limit: Limit) -> Reasons:
    if limit.rank is not None:
        least, most = limit.rank
        rank = len(reading.shapes.get(name, ()))
        if not least <= rank <= most:
            yield f"{limit.input} has {rank} axes, not {least} to {most}", "add axes of size 1"
    computed = {"initializer": reading.tensor(name) is None, "constant": not reading.is_constant(name)}
    if limit.must is not None and computed.get(limit.must, False):
        yield f"{limit.input} is computed, and the parser wants it in the file", "make it a constant"
    if limit.must == "zero":
        array = reading.array(name)
        if array is None or array.any():
            yield f"{limit.input} is not zero", "quantize symmetrically"
    if limit.must == "positive":
        array = reading.array(name)
        if array is not None and not (array > 0).all():
            yield f"{limit.input} is not positive throughout", "choose another scale where there is nothing but zeros"


CHECKS: tuple[Check, ...] = (knows, types, fits, limits)


def data_inputs(node: NodeProto, opset: int) -> Iterator[tuple[str, str]]:
    """The inputs that a table's types speak of, with their names in the schema: those of the schema's first type that
    is not for conditions or places; of an operator that has only such, those of the first one."""
    schema = defs.get_schema(node.op_type, opset, node.domain)
    allowed = {each.type_param_str: set(each.allowed_type_strs) for each in schema.type_constraints}
    kinds = [(name, schema.inputs[min(place, len(schema.inputs) - 1)]) for place, name in enumerate(node.input) if name]
    data = [each.type_str for _, each in kinds if allowed.get(each.type_str, {each.type_str}) not in PLACES]
    first = data[0] if data else kinds[0][1].type_str if kinds else ""
    return ((name, each.name) for name, each in kinds if each.type_str == first)


def input_name(node: NodeProto, opset: int, place: int) -> str:
    formal = defs.get_schema(node.op_type, opset, node.domain).inputs
    return str(formal[min(place, len(formal) - 1)].name)


def default_of(node: NodeProto, opset: int, attribute: str) -> Any:
    found = defs.get_schema(node.op_type, opset, node.domain).attributes[attribute].default_value
    return helper.get_attribute_value(found) if found.type != AttributeProto.UNDEFINED else None
