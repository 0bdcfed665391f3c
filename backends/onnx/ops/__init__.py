"""The whole table from ATen calls to their lowerings."""

from __future__ import annotations

from voxc.backends.onnx.lowering import Lowering
from voxc.backends.onnx.ops import convolution, elementwise, matrix, quantization, reduction, shape

LOWERINGS: dict[object, Lowering] = {
    **convolution.LOWERINGS,
    **elementwise.LOWERINGS,
    **matrix.LOWERINGS,
    **quantization.LOWERINGS,
    **reduction.LOWERINGS,
    **shape.LOWERINGS,
}
