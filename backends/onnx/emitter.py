"""A program as an ONNX file, at the opset of the target. ONNX Runtime and TensorRT share it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxsim
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx

from voxc.backends.onnx.builder import DTYPES, OnnxBuilder, Packed
from voxc.backends.onnx.dialect import PLAIN, Dialect
from voxc.backends.onnx.ops import LOWERINGS
from voxc.compiler.core.errors import CompileError
from voxc.compiler.core.program import Program
from voxc.compiler.core.tensor import Array, TensorSpec

# A protobuf message ends at 2 GiB; the rest is room for everything that is not a weight.
MOST_INLINE_BYTES = (1 << 31) - (1 << 26)
# Smaller tensors, the shapes among them, stay in the graph, where shape inference can see them.
LEAST_EXTERNAL_BYTES = 1 << 10
# Weights that start at a page can be mapped into memory.
ALIGNMENT = 1 << 12
PACKED = ("int8", "float16")
# What the simplifier makes of their parts where the opset has them, whether the reader does or not.
FUSIONS = {"LayerNormalization": "fuse_layer_norm", "Gelu": "fuse_gelu"}
# ONNX Runtime and TensorRT refuse files of a newer format than they know; each opset has the format it came with.
IR_VERSIONS = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}


@dataclass(frozen=True)
class Emitted:
    """The files of an ONNX model, the main one first; the FX node that each of its nodes came from, by name; and the
    weights that stand for numbers of 8 bits."""

    files: list[Path]
    origins: Mapping[str, fx.Node]
    packed: Mapping[str, Packed]


def emit(program: Program, opset: int, path: Path) -> list[Path]:
    """Writes the program as a checked ONNX file; gives that file and, if one message cannot hold the weights, theirs.

    Raises:
        UnsupportedError: a node has no lowering; names it, its module and its source line.
        CompileError: what came out is not a valid model.
    """
    return write(program, opset, path).files


def write(program: Program, opset: int, path: Path, dialect: Dialect = PLAIN) -> Emitted:
    """The same in a dialect, telling where its nodes came from."""
    build = lower(program, opset, dialect)
    return Emitted(write_files(program, build, path), build.origins, build.packed)


def write_files(program: Program, build: OnnxBuilder, path: Path) -> list[Path]:
    used = {name for node in build.nodes for name in node.input}
    weights = {name: array for name, array in build.weights.items() if name in used}
    try:
        if sum(array.nbytes for array in weights.values()) > MOST_INLINE_BYTES:
            return write_external(program, build, weights, path)
        model = make_model(program, build, [numpy_helper.from_array(array, name) for name, array in weights.items()])
        onnx.checker.check_model(model, full_check=True)
        packed = are_packed(weights.values()) or are_rounded(build)
        left_out = [fusion for result, fusion in FUSIONS.items() if not build.has(result)]
        model, _ = onnxsim.simplify(
            model, certify=False, skip_constant_folding=packed, skipped_optimizers=left_out or None
        )
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError) as error:
        raise CompileError(f"{program.name}: the ONNX graph is not valid: {error}") from error
    onnx.save_model(model, path)
    return [path]


def are_packed(weights: Iterable[Array]) -> bool:
    """Whether weights are stored in fewer bits than they compute in, which folding them would undo."""
    return any(array.dtype in PACKED for array in weights)


def are_rounded(build: OnnxBuilder) -> bool:
    """Whether weights go through integers, which folding them would undo as well."""
    return any(node.op_type == "QuantizeLinear" and node.input[0] in build.weights for node in build.nodes)


def lower(program: Program, opset: int, dialect: Dialect = PLAIN) -> OnnxBuilder:
    """The nodes and weights of the program in ONNX."""
    build = OnnxBuilder(program, opset, dialect)
    build.lower_graph(LOWERINGS)
    return build


def make_model(program: Program, build: OnnxBuilder, weights: list[TensorProto]) -> onnx.ModelProto:
    inputs, outputs = ([value_info(spec) for spec in specs] for specs in (program.inputs, program.outputs))
    graph = helper.make_graph(build.nodes, program.name, inputs, outputs, weights)
    return helper.make_model(
        graph,
        producer_name="voxc",
        opset_imports=[helper.make_opsetid("", build.opset)],
        ir_version=IR_VERSIONS.get(build.opset, max(IR_VERSIONS.values())),
    )


def write_external(program: Program, build: OnnxBuilder, weights: dict[str, Array], path: Path) -> list[Path]:
    """Writes the large weights to `<path>.data` and a model that points into it.

    The simplifier takes only what fits in one message, so the graph stays as the passes left it.
    """
    data = path.with_name(f"{path.name}.data")
    tensors = []
    with data.open("wb") as stream:
        for name, array in weights.items():
            if array.nbytes < LEAST_EXTERNAL_BYTES:
                tensors.append(numpy_helper.from_array(array, name))
                continue
            stream.seek(-(-stream.tell() // ALIGNMENT) * ALIGNMENT)
            tensor = TensorProto(name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
            place = {"location": data.name, "offset": stream.tell(), "length": array.nbytes}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
            tensor.data_location = TensorProto.EXTERNAL
            array.tofile(stream)
            tensors.append(tensor)
    onnx.save_model(make_model(program, build, tensors), path)
    onnx.checker.check_model(path)
    return [path, data]


def value_info(spec: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(spec.name, DTYPES[getattr(torch, spec.dtype)], list(spec.shape))
