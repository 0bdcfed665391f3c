"""The whole table from calls to their lowerings."""

from __future__ import annotations

from voxc.backends.coreml.ops import (
    convolution,
    elementwise,
    matrix,
    normalization,
    quantization,
    reduction,
    selection,
    shape,
)
from voxc.backends.lowering.table import PASSED_ON, Lowerings

LOWERINGS: Lowerings = {
    **PASSED_ON,
    **convolution.LOWERINGS,
    **elementwise.LOWERINGS,
    **matrix.LOWERINGS,
    **normalization.LOWERINGS,
    **quantization.LOWERINGS,
    **reduction.LOWERINGS,
    **selection.LOWERINGS,
    **shape.LOWERINGS,
}
