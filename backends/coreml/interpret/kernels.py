"""All kernels by operation."""

from __future__ import annotations

from voxc.backends.coreml.interpret import (
    activation,
    elementwise,
    indexing,
    lists,
    matrix,
    normalization,
    quantization,
    recurrent,
    reduction,
    shape,
    slices,
    spatial,
    state,
)
from voxc.backends.coreml.interpret.call import Lowerings

KERNELS: Lowerings = {
    **activation.TABLE,
    **elementwise.TABLE,
    **indexing.TABLE,
    **lists.TABLE,
    **matrix.TABLE,
    **normalization.TABLE,
    **quantization.TABLE,
    **recurrent.TABLE,
    **reduction.TABLE,
    **shape.TABLE,
    **slices.TABLE,
    **spatial.TABLE,
    **state.TABLE,
}

FAMILIES = (activation, elementwise, indexing, lists, quantization, reduction, shape, slices, spatial, state)
FAMILIES = (activation, elementwise, indexing, lists, quantization, reduction, shape, slices, spatial, state)
#: Those whose results are in float16 when their inputs are.
EXACT: frozenset[str] = frozenset().union(*(family.EXACT for family in FAMILIES))
