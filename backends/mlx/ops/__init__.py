"""The whole table from calls in the exported graph to their lowerings."""

from __future__ import annotations

from voxc.backends.lowering.table import PASSED_ON, Lowerings
from voxc.backends.mlx.ops import convolution, elementwise, matrix, reduction, shape

LOWERINGS: Lowerings = {
    **PASSED_ON,
    **convolution.LOWERINGS,
    **elementwise.LOWERINGS,
    **matrix.LOWERINGS,
    **reduction.LOWERINGS,
    **shape.LOWERINGS,
}
