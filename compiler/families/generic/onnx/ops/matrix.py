"""Matrix products."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from voxc.compiler.families.generic.onnx.call import Call, Function, Row, plain


def gemm(call: Call) -> Function:
    alpha, beta = call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    turn_a, turn_b = call.attribute("transA", 0), call.attribute("transB", 0)

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        a = a.t() if turn_a else a
        if alpha == beta == 1 and turn_b and (c is None or c.dim() == 1):
            return functional.linear(a, b, c)
        product = a @ (b.t() if turn_b else b)
        product = product if alpha == 1 else product * alpha
        if c is None or beta == 0:
            return product
        return product + (c if beta == 1 else c * beta)

    return run


def einsum(call: Call) -> Function:
    equation = call.required("equation")
    return lambda *tensors: torch.einsum(equation, *tensors)


def triangle(call: Call) -> Function:
    diagonal = call.integers(1, "diagonal")[0] if call.has(1) else 0
    function = torch.triu if call.attribute("upper", 1) else torch.tril
    return lambda x, *_: function(x, diagonal)


ROWS: dict[str, Row] = {
    "MatMul": plain(torch.matmul),
    "Gemm": gemm,
    "Einsum": einsum,
    "Trilu": triangle,
    "Det": plain(torch.det),
}
