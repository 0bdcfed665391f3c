"""The whole table from calls to their lowerings."""

from __future__ import annotations

from voxc.backends.lowering.table import PASSED_ON, Lowerings
from voxc.backends.tflite.ops import convolution, elementwise, matrix, quantization, reduction, shape

LOWERINGS: Lowerings = {
    **PASSED_ON,
    **convolution.LOWERINGS,
    **elementwise.LOWERINGS,
    **matrix.LOWERINGS,
    **quantization.LOWERINGS,
    **reduction.LOWERINGS,
    **shape.LOWERINGS,
}
