"""The whole table from ONNX operators, by domain and name, to rows."""

from __future__ import annotations

from voxc.compiler.families.generic.onnx.call import Row
from voxc.compiler.families.generic.onnx.ops import (
    activation,
    convolution,
    elementwise,
    indexing,
    matrix,
    normalization,
    quantization,
    recurrent,
    reduction,
    resize,
    shape,
    signal,
    sources,
)

ROWS: dict[tuple[str, str], Row] = {
    **{
        ("", op_type): row
        for family in (
            activation, convolution, elementwise, indexing, matrix, normalization, quantization, recurrent, reduction,
            resize, shape, signal, sources,
        )
        for op_type, row in family.ROWS.items()
    },
    **{("com.microsoft", op_type): row for op_type, row in quantization.MICROSOFT_ROWS.items()},
}  # fmt: skip
