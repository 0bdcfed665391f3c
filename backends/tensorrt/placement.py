"""What the operators of a kit are to compute in, and how much each of them has to do."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto

from voxc.backends.tensorrt.legality import Reading
from voxc.backends.tensorrt.precisions import Precisions, precisions_file, read_precisions
from voxc.compiler.core.runner import Placement


def placements(file: Path) -> tuple[Placement, ...]:
    """One for each node that gives floats, or rounds them to integers.

    Raises:
        BundleError: the recipe beside the file is missing or broken.
    """
    recipe = read_precisions(precisions_file(file))
    reading = reading_for(onnx.load(file, load_external_data=False), recipe)
    return tuple(
        Placement(
            name=node.name,
            op=node.op_type,
            where=recipe.told(node.name),
            why=recipe.reasons.get(node.name, ""),
            fix="",
            macs=macs(node, reading),
        )
        for node in reading.nodes
        if node.name in recipe.layers
    )


def reading_for(model: ModelProto, recipe: Precisions) -> Reading:
    """The file as it is read for a segment: what is open has the sizes that the engine is to be fast for."""
    for value in model.graph.input:
        if value.name in recipe.profiles:
            for size, bound in zip(value.type.tensor_type.shape.dim, recipe.profiles[value.name].opt, strict=True):
                size.dim_value = bound
    if recipe.profiles:
        del model.graph.value_info[:]
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    return Reading(model)


def macs(node: NodeProto, reading: Reading) -> int:
    """Multiply-accumulates of a convolution or matrix product; 0 for others, and where sizes do not follow."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    given, weight, result = (reading.shapes.get(name, ()) for name in (*node.input[:2], node.output[0]))
    if not (given and weight and result):
        return 0
    if node.op_type == "Conv":
        return math.prod(result) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(given) * math.prod(weight[1:])
    transposed = any(each.name == "transA" and each.i for each in node.attribute)
    return math.prod(result) * given[-2 if transposed else -1]
