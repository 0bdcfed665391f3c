"""The whole table from calls to their lowerings."""

from __future__ import annotations

from voxc.backends.tflite.lowering import Lowering
from voxc.backends.tflite.ops import convolution, elementwise, matrix, quantization, reduction, shape

LOWERINGS: dict[object, Lowering] = {
    **convolution.LOWERINGS,
    **elementwise.LOWERINGS,
    **matrix.LOWERINGS,
    **quantization.LOWERINGS,
    **reduction.LOWERINGS,
    **shape.LOWERINGS,
}
