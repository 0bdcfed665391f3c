"""Operators that move, select and repeat elements, and the arithmetic of symbolic sizes."""

from __future__ import annotations

import operator

import torch
from torch import fx

from voxc.backends.lowering.padding import pad_pairs
from voxc.backends.lowering.table import Lowering, Lowerings
from voxc.backends.onnx.builder import OnnxBuilder, Size

aten = torch.ops.aten

SIZE_ARITHMETIC = {operator.add: "Add", operator.sub: "Sub", operator.mul: "Mul", operator.floordiv: "Div"}


def view(build: OnnxBuilder, node: fx.Node, x: fx.Node, shape: list[Size]) -> str:
    """At most one symbolic size becomes -1, which spares the file the computation of it."""
    symbolic = [axis for axis, size in enumerate(shape) if not isinstance(size, int)]
    if len(symbolic) == 1:
        shape = [-1 if axis in symbolic else size for axis, size in enumerate(shape)]
    return build.op("Reshape", x, build.sizes(shape))


def permute(build: OnnxBuilder, node: fx.Node, x: fx.Node, order: list[int]) -> str:
    rank = len(order)
    return build.op("Transpose", x, perm=[axis % rank for axis in order])


def unsqueeze(build: OnnxBuilder, node: fx.Node, x: fx.Node, dim: int) -> str:
    return build.op("Unsqueeze", x, build.sizes([dim]))


def squeeze(build: OnnxBuilder, node: fx.Node, x: fx.Node, dims: list[int]) -> str:
    kept = [dim for dim in dims if x.meta["val"].shape[dim] == 1]
    return build.op("Squeeze", x, build.sizes(kept)) if kept else build.value(x)


def expand(build: OnnxBuilder, node: fx.Node, x: fx.Node, shape: list[Size], implicit: bool) -> str:
    """ATen's -1 keeps an axis; so does ONNX's 1."""
    return build.op("Expand", x, build.sizes([1 if size == -1 else size for size in shape]))


def slice_(
    build: OnnxBuilder, node: fx.Node, x: fx.Node, dim: int, start: Size | None, end: Size | None, step: int
) -> str:
    last = torch.iinfo(torch.int64).max if end is None else end
    bounds = [build.sizes([bound]) for bound in (0 if start is None else start, last, dim, step)]
    return build.op("Slice", x, *bounds)


def select(build: OnnxBuilder, node: fx.Node, x: fx.Node, dim: int, index: int) -> str:
    return build.op("Gather", x, build.scalar(index, torch.int64), axis=dim)


def flip(build: OnnxBuilder, node: fx.Node, x: fx.Node, dims: list[int]) -> str:
    backwards = [build.sizes([value] * len(dims)) for value in (-1, torch.iinfo(torch.int64).min)]
    return build.op("Slice", x, *backwards, build.sizes(dims), build.sizes([-1] * len(dims)))


def cat(build: OnnxBuilder, node: fx.Node, parts: list[fx.Node], dim: int) -> str:
    return build.op("Concat", *parts, axis=dim)


def split(build: OnnxBuilder, node: fx.Node, x: fx.Node, sizes: list[Size], dim: int) -> list[str]:
    parts = build.op("Split", x, build.sizes(sizes), outputs=len(sizes), axis=dim)
    return parts if isinstance(parts, list) else [parts]


def pad(build: OnnxBuilder, node: fx.Node, x: fx.Node, padding: list[Size], value: float) -> str:
    """ONNX takes all beginnings and then all ends, and may crop (negative pads)."""
    beginnings, ends = zip(*pad_pairs(padding, x.meta["val"].dim()), strict=True)
    return build.op("Pad", x, build.sizes([*beginnings, *ends]), build.scalar(value, x.meta["val"].dtype))


def embedding(build: OnnxBuilder, node: fx.Node, table: fx.Node, indices: fx.Node, *_: object) -> str:
    return build.op("Gather", table, indices, axis=0)


def gather(build: OnnxBuilder, node: fx.Node, x: fx.Node, dim: int, indices: fx.Node, sparse_grad: bool) -> str:
    return build.op("GatherElements", x, indices, axis=dim)


def size(build: OnnxBuilder, node: fx.Node, x: fx.Node, dim: int) -> str:
    """One size as a one-element tensor, which is how sizes travel."""
    return build.op("Gather", build.op("Shape", x), build.sizes([dim]), axis=0)


def size_arithmetic(op_type: str) -> Lowering:
    return lambda build, node, left, right: build.op(op_type, build.sizes([left]), build.sizes([right]))


LOWERINGS: Lowerings = {
    aten.view.default: view,
    aten.permute.default: permute,
    aten.unsqueeze.default: unsqueeze,
    aten.squeeze.dims: squeeze,
    aten.expand.default: expand,
    aten.slice.Tensor: slice_,
    aten.select.int: select,
    aten.flip.default: flip,
    aten.cat.default: cat,
    aten.split_with_sizes.default: split,
    aten.constant_pad_nd.default: pad,
    aten.embedding.default: embedding,
    aten.gather.default: gather,
    aten.sym_size.int: size,
    **{target: size_arithmetic(op_type) for target, op_type in SIZE_ARITHMETIC.items()},
}
