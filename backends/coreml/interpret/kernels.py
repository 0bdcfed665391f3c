"""All kernels by operation."""

from __future__ import annotations

from voxc.backends.coreml.interpret import (
    activation,
    elementwise,
    indexing,
    matrix,
    normalization,
    quantization,
    reduction,
    shape,
    state,
)
from voxc.backends.coreml.interpret.call import Table

KERNELS: Table = {
    **activation.TABLE,
    **elementwise.TABLE,
    **indexing.TABLE,
    **matrix.TABLE,
    **normalization.TABLE,
    **quantization.TABLE,
    **reduction.TABLE,
    **shape.TABLE,
    **state.TABLE,
}

FAMILIES = (activation, elementwise, indexing, quantization, reduction, shape, state)
FAMILIES = (activation, elementwise, indexing, quantization, reduction, shape, state)
#: Those whose results are in float16 when their inputs are.
EXACT: frozenset[str] = frozenset().union(*(family.EXACT for family in FAMILIES))
