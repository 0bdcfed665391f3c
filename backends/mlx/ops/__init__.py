"""The whole table from calls in the exported graph to their lowerings."""

from __future__ import annotations

from voxc.backends.mlx.lowering import Lowering
from voxc.backends.mlx.ops import convolution, elementwise, matrix, reduction, shape

LOWERINGS: dict[object, Lowering] = {
    **convolution.LOWERINGS,
    **elementwise.LOWERINGS,
    **matrix.LOWERINGS,
    **reduction.LOWERINGS,
    **shape.LOWERINGS,
}
