"""Quantization and compressed constants, in exact integers up to the last product with the scale."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from voxc.backends.coreml.blobs import bytes_of, unpack
from voxc.backends.coreml.interpret.call import Call, Lowerings

RANGES = {"int8": (-128, 127), "uint8": (0, 255)}


def along(call: Call, values: Tensor, x: Tensor) -> Tensor:
    """One value for all, or one for each place along `axis`, so that it broadcasts with x."""
    if values.dim() == 0:
        return values
    axis = call.axis("axis", x.dim())
    if values.dim() != 1 or values.numel() not in (1, x.shape[axis]):
        raise call.wrong(f"{list(values.shape)} values along an axis of {x.shape[axis]}")
    return values.reshape(-1, *[1] * (x.dim() - 1 - axis))


def quantize(call: Call) -> Tensor:
    """clip(round(x / scale) + zero point), halves to even."""
    x, name = call.tensor("input"), call.text("output_dtype")
    if name not in RANGES:
        raise call.unsupported(f"{name} as a quantized type")
    steps = torch.round(x / along(call, call.tensor("scale"), x))
    zero = call.optional("zero_point")
    if zero is not None:
        steps = steps + along(call, zero, x)
    return steps.clamp(*RANGES[name]).to(call.held())


def dequantize(call: Call) -> Tensor:
    """scale * (x - zero point)."""
    return affine(call, call.tensor("input"))


def constexpr_affine_dequantize(call: Call) -> Tensor:
    return affine(call, call.tensor("quantized_data"))


def affine(call: Call, x: Tensor) -> Tensor:
    steps = x.to(torch.float32)
    zero = call.optional("zero_point")
    if zero is not None:
        steps = steps - along(call, zero, x)
    return steps * along(call, call.tensor("scale"), x)


def constexpr_blockwise_shift_scale(call: Call) -> Tensor:
    """scale * (data - offset), where one scale serves a block of elements."""
    return blockwise(call, call.tensor("data"))


def blockwise(call: Call, data: Tensor) -> Tensor:
    values, offset = data.to(torch.float32), call.optional("offset")
    if offset is not None:
        values = values - blocks(call, offset, data)
    return values * blocks(call, call.tensor("scale"), data)


def blocks(call: Call, values: Tensor, data: Tensor) -> Tensor:
    """One value of each block for every element of it."""
    if values.dim() != data.dim() or any(
        few == 0 or many % few for many, few in zip(data.shape, values.shape, strict=True)
    ):
        raise call.wrong(f"blocks of {list(values.shape)} in a tensor of shape {list(data.shape)}")
    for axis, (many, few) in enumerate(zip(data.shape, values.shape, strict=True)):
        values = values.repeat_interleave(many // few, axis) if 1 < few < many else values
    return values


def constexpr_lut_to_dense(call: Call) -> Tensor:
    """Entries of a table, by packed indices with the shape beside them (iOS 16) or by indices in place (iOS 18)."""
    indices, table = call.tensor("indices"), call.tensor("lut")
    if not call.has("shape"):
        return looked_up(call, indices, table)
    shape = call.bounded(call.ints("shape"))
    bits = (table.numel() - 1).bit_length()
    count = math.prod(shape)
    if bits not in (1, 2, 4, 6, 8) or indices.numel() != bytes_of(f"uint{bits}", count):
        raise call.wrong(f"{indices.numel()} bytes of indices into {table.numel()} entries for shape {shape}")
    return table[torch.from_numpy(unpack(indices.numpy(), bits, count).astype(np.int64))].reshape(shape)


def looked_up(call: Call, indices: Tensor, table: Tensor) -> Tensor:
    """`table` is [tables along each axis..., entries, vector]; a vector is laid out along `vector_axis`."""
    rank = indices.dim()
    if table.dim() != rank + 2:
        raise call.wrong(f"a table of rank {table.dim()} for indices of rank {rank}")
    lead, (entries, width) = list(table.shape[:rank]), table.shape[rank:]
    which = torch.arange(math.prod(lead)).reshape(lead)
    places = indices.to(torch.int64)
    flat = blocks(call, which, indices) * entries + places
    if bool((places >= entries).any()):
        raise call.wrong(f"an index beyond the {entries} entries of a table")
    found = table.reshape(-1, width)[flat]
    if width == 1:
        return found.squeeze(-1)
    axis = call.axis("vector_axis", rank)
    return found.movedim(-1, axis + 1).flatten(axis, axis + 1)


def constexpr_sparse_to_dense(call: Call) -> Tensor:
    """Values where a bit is set and 0 elsewhere, by a packed mask (iOS 16) or by a mask in place (iOS 18)."""
    mask = call.tensor("mask")
    if call.has("shape"):
        shape = call.bounded(call.ints("shape"))
        count = math.prod(shape)
        if mask.numel() != bytes_of("uint1", count):
            raise call.wrong(f"{mask.numel()} bytes of mask for shape {shape}")
        mask = torch.from_numpy(unpack(mask.numpy(), 1, count)).reshape(shape)
    return dense(call, call.tensor("nonzero_data"), mask)


def dense(call: Call, values: Tensor, mask: Tensor) -> Tensor:
    taken = mask != 0
    if int(taken.sum()) != values.numel():
        raise call.wrong(f"{values.numel()} values for {int(taken.sum())} places")
    result = torch.zeros(mask.shape, dtype=values.dtype)
    result[taken] = values.reshape(-1)
    return result


def constexpr_lut_to_sparse(call: Call) -> list[Tensor]:
    """The mask, and the entries that its places have; both grow by the vector's size along `vector_axis`."""
    mask = call.tensor("indices_mask")
    found = looked_up(call, dense(call, call.tensor("indices_nonzero_data"), mask), call.tensor("lut"))
    width = call.tensor("lut").shape[-1]
    if width > 1:
        mask = mask.repeat_interleave(width, call.axis("vector_axis", mask.dim()))
    return [mask, found[mask != 0]]


def constexpr_sparse_blockwise_shift_scale(call: Call) -> list[Tensor]:
    mask = call.tensor("data_mask")
    found = blockwise(call, dense(call, call.tensor("nonzero_data"), mask))
    return [mask, found[mask != 0]]


def constexpr_cast(call: Call) -> Tensor:
    return call.tensor("source_val").to(call.held())


TABLE: Lowerings = {
    "constexpr_affine_dequantize": constexpr_affine_dequantize,
    "constexpr_blockwise_shift_scale": constexpr_blockwise_shift_scale,
    "constexpr_cast": constexpr_cast,
    "constexpr_lut_to_dense": constexpr_lut_to_dense,
    "constexpr_lut_to_sparse": constexpr_lut_to_sparse,
    "constexpr_sparse_blockwise_shift_scale": constexpr_sparse_blockwise_shift_scale,
    "constexpr_sparse_to_dense": constexpr_sparse_to_dense,
    "dequantize": dequantize,
    "quantize": quantize,
}

EXACT = frozenset({"constexpr_cast", "constexpr_lut_to_dense", "constexpr_sparse_to_dense", "constexpr_lut_to_sparse"})
