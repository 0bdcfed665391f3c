"""The whole table from calls to their lowerings."""

from __future__ import annotations

from voxc.backends.coreml.lowering import Lowering
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

LOWERINGS: dict[object, Lowering] = {
    **convolution.LOWERINGS,
    **elementwise.LOWERINGS,
    **matrix.LOWERINGS,
    **normalization.LOWERINGS,
    **quantization.LOWERINGS,
    **reduction.LOWERINGS,
    **selection.LOWERINGS,
    **shape.LOWERINGS,
}
