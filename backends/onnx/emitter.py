"""A program as an ONNX file, at the opset of the target. ONNX Runtime and TensorRT share it."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxsim
import torch
from onnx import helper
from torch import fx

from voxc.backends.onnx.builder import DTYPES, OnnxBuilder
from voxc.backends.onnx.ops import LOWERINGS
from voxc.compiler.errors import CompileError
from voxc.compiler.program import Program
from voxc.compiler.tensor import TensorSpec

# A protobuf message ends at 2 GiB; the rest is room for everything that is not a weight.
MOST_INLINE_BYTES = (1 << 31) - (1 << 26)
# Smaller tensors, the shapes among them, stay in the graph, where shape inference can see them.
LEAST_EXTERNAL_BYTES = 1 << 10
# ONNX Runtime and TensorRT refuse files of a newer format than they know; each opset has the format it came with.
IR_VERSIONS = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}


def unsupported(program: Program) -> list[fx.Node]:
    """The nodes for which there is no lowering."""
    return [node for node in program.graph.nodes if node.op == "call_function" and node.target not in LOWERINGS]


def emit(program: Program, opset: int) -> onnx.ModelProto:
    """The program as a checked and simplified ONNX model.

    Raises:
        UnsupportedError: a node has no lowering; names it, its module and its source line.
        CompileError: what came out is not a valid model.
    """
    model = build_model(program, opset)
    if weight_bytes(model) > MOST_INLINE_BYTES:
        return model  # neither the checker nor the simplifier takes more than one message
    try:
        onnx.checker.check_model(model, full_check=True)
        simplified, _ = onnxsim.simplify(model, certify=False)
        onnx.checker.check_model(simplified, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError) as error:
        raise CompileError(f"{program.name}: the ONNX graph is not valid: {error}") from error
    return simplified


def build_model(program: Program, opset: int) -> onnx.ModelProto:
    results = list(next(node for node in program.graph.nodes if node.op == "output").args[0])
    build = OnnxBuilder(opset, dict(zip(results, (spec.name for spec in program.outputs), strict=True)))
    inputs = iter(program.inputs)
    for node in program.graph.nodes:
        build.node = node
        if node.op == "placeholder":
            weight = program.lifted_tensor(node)
            build.values[node] = (
                next(inputs).name if weight is None else build.initializer(weight_name(program, node), weight)
            )
        elif node.op == "call_function":
            if node.target not in LOWERINGS:
                raise build.refuse("there is no lowering for this operator")
            build.lower(node, LOWERINGS[node.target])
    for result, spec in zip(results, program.outputs, strict=True):
        build.give(result, spec.name)
    used = {name for node in build.nodes for name in node.input}
    graph = helper.make_graph(
        build.nodes,
        program.name,
        [value_info(spec) for spec in program.inputs],
        [value_info(spec) for spec in program.outputs],
        [tensor for name, tensor in build.initializers.items() if name in used],
    )
    return helper.make_model(
        graph,
        producer_name="voxc",
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=IR_VERSIONS.get(opset, 10),
    )


def save(model: onnx.ModelProto, path: Path) -> list[Path]:
    """Writes the model, with the weights in a file of their own if one message cannot hold them."""
    external = weight_bytes(model) > MOST_INLINE_BYTES
    data = path.with_name(f"{path.name}.data")
    onnx.save_model(
        model, path, save_as_external_data=external, location=data.name, size_threshold=LEAST_EXTERNAL_BYTES
    )
    if external:
        onnx.checker.check_model(path)
    return [path, data] if external else [path]


def weight_bytes(model: onnx.ModelProto) -> int:
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def weight_name(program: Program, placeholder: fx.Node) -> str:
    """The name of a weight in the user's model."""
    signature = program.exported.graph_signature
    for table in (
        signature.inputs_to_parameters, signature.inputs_to_buffers, signature.inputs_to_lifted_tensor_constants
    ):  # fmt: skip
        if placeholder.name in table:
            return table[placeholder.name]
    return placeholder.name


def value_info(spec: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(spec.name, DTYPES[getattr(torch, spec.dtype)], list(spec.shape))
