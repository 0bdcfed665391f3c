"""What the operators of a kit are to compute in, and how much each of them has to do."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
from onnx import NodeProto

from voxc.backends.base import Placement
from voxc.backends.tensorrt.legality import Reading
from voxc.backends.tensorrt.precisions import precisions_file, read_precisions


def placements(file: Path) -> tuple[Placement, ...]:
    """One for each node that gives floats, or rounds them to integers.

    Raises:
        BundleError: the recipe beside the file is missing or broken.
    """
    recipe = read_precisions(precisions_file(file))
    reading = Reading(onnx.load(file, load_external_data=False))
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


def macs(node: NodeProto, reading: Reading) -> int:
    """Multiply-accumulates of a convolution or matrix product; 0 for others."""
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
