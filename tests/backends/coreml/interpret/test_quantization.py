from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.backends.coreml.interpret.harness import check, few, mb, normal, seeds
from voxc.compiler.core.tensor import Array


def draw(seed: int, dtype: str, *shape: int) -> Array:
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max + 1, shape, dtype)


def scales(seed: int, *shape: int) -> Array:
    return (np.random.default_rng(seed).random(shape) + 0.1).astype(np.float32)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@few
@given(seed=seeds, axis=st.sampled_from([None, 0, 1, -1]), shifted=st.booleans())
def test_quantize_and_dequantize_are_exact(dtype: str, seed: int, axis: int | None, shifted: bool) -> None:
    x = 40 * normal(seed, 3, 4, 5)
    size = () if axis is None else (x.shape[axis],)
    scale, zero = scales(seed, *size), draw(seed, dtype, *size) // 4
    spread = [1, 1, 1]
    if axis is not None:
        spread[axis] = -1
    limits = np.iinfo(dtype)
    wide = np.round(x.numpy() / scale.reshape(spread)) + (zero.reshape(spread).astype(int) if shifted else 0)
    steps = np.clip(wide, limits.min, limits.max)
    given_ = {"zero_point": dtype_scalar(zero, dtype)} if shifted else {}
    if axis is not None:
        given_["axis"] = axis
    scale_ = np.float32(scale) if axis is None else scale

    def build(a: object) -> object:
        quantized = mb.quantize(input=a, scale=scale_, output_dtype=dtype, **given_)
        return mb.cast(x=quantized, dtype="int32"), mb.dequantize(input=quantized, scale=scale_, **given_)

    back = (steps - (zero.reshape(spread).astype(int) if shifted else 0)).astype(np.float32) * scale.reshape(spread)
    check(build, [torch.from_numpy(steps.astype(np.int32)), torch.from_numpy(back)], x, tolerance=0)


def dtype_scalar(values: Array, dtype: str) -> Array | np.generic:
    return values if values.ndim else np.dtype(dtype).type(values)


def test_halves_of_a_step_go_to_the_even_one() -> None:
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5])
    expected = torch.tensor([0, 2, 2, 0, -2], dtype=torch.int32)
    check(
        lambda a: mb.cast(x=mb.quantize(input=a, scale=np.float32(1), output_dtype="int8"), dtype="int32"), expected, x
    )


def with_weight(make: object) -> object:
    """Adds the constant that `make` builds to the input, so that there is something to run."""
    return lambda a: mb.add(x=a, y=make())  # type: ignore[operator]


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@few
@given(seed=seeds, axis=st.integers(-3, 2))
def test_affine_constants_are_decompressed(dtype: str, seed: int, axis: int) -> None:
    data, size = draw(seed, dtype, 3, 4, 5), (3, 4, 5)[axis]
    scale, zero = scales(seed, size), draw(seed, dtype, size)
    spread = [1, 1, 1]
    spread[axis] = -1
    expected = (data.astype(np.float32) - zero.reshape(spread)) * scale.reshape(spread)
    x = torch.zeros(3, 4, 5)

    def make() -> object:
        return mb.constexpr_affine_dequantize(quantized_data=data, zero_point=zero, scale=scale, axis=axis)

    check(with_weight(make), torch.from_numpy(expected), x, opset="iOS16", tolerance=0)
    check(with_weight(make), torch.from_numpy(expected), x, opset="iOS17", tolerance=0)


def pack(values: Array, bits: int) -> Array:
    spread = np.unpackbits(values.astype(np.uint8)[:, None], axis=1, bitorder="little")[:, :bits]
    return np.packbits(spread.reshape(-1), bitorder="little")


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
@few
@given(seed=seeds, length=st.integers(1, 20))
def test_palettes_of_any_width_are_looked_up(bits: int, seed: int, length: int) -> None:
    random = np.random.default_rng(seed)
    table = random.standard_normal(2**bits).astype(np.float32)
    indices = random.integers(0, 2**bits, 2 * length)

    def make() -> object:
        return mb.constexpr_lut_to_dense(
            indices=pack(indices, bits), lut=table, shape=np.array([2, length], dtype=np.uint32)
        )

    expected = torch.from_numpy(table[indices].reshape(2, length))
    check(with_weight(make), expected, torch.zeros(2, length), opset="iOS16", tolerance=0)


@few
@given(seed=seeds, length=st.integers(1, 30))
def test_sparse_constants_have_zeros_elsewhere(seed: int, length: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random(length) < 0.5
    values = random.standard_normal(mask.sum()).astype(np.float32)
    if not len(values):
        return
    expected = np.zeros(length, np.float32)
    expected[mask] = values

    def make() -> object:
        return mb.constexpr_sparse_to_dense(
            nonzero_data=values, mask=np.packbits(mask, bitorder="little"), shape=np.array([length], dtype=np.uint32)
        )

    check(with_weight(make), torch.from_numpy(expected), torch.zeros(length), opset="iOS16", tolerance=0)


@pytest.mark.parametrize("kind", ["int4", "uint4", "int8", "uint8"])
@few
@given(seed=seeds, blocks=st.sampled_from([(1, 1), (4, 1), (1, 3), (2, 3), (4, 6)]), shifted=st.booleans())
def test_blocks_have_a_scale_each(kind: str, seed: int, blocks: tuple[int, int], shifted: bool) -> None:
    from voxc.backends.coreml.sdk import types

    nptype = types.nptype_from_builtin(types.string_to_builtin(kind))
    low, high = {"int4": (-8, 8), "uint4": (0, 16), "int8": (-128, 128), "uint8": (0, 256)}[kind]
    random = np.random.default_rng(seed)
    data, offset = random.integers(low, high, (4, 6)), random.integers(low, high, blocks)
    scale = scales(seed, *blocks)
    spread = (4 // blocks[0], 6 // blocks[1])
    wide = np.kron(scale, np.ones(spread, np.float32))
    shift = np.kron(offset, np.ones(spread, int)) if shifted else 0
    expected = (data - shift).astype(np.float32) * wide
    given_ = {"offset": offset.astype(nptype)} if shifted else {}

    def make() -> object:
        return mb.constexpr_blockwise_shift_scale(data=data.astype(nptype), scale=scale, **given_)

    check(with_weight(make), torch.from_numpy(expected), torch.zeros(4, 6), opset="iOS18", tolerance=0)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
@few
@given(seed=seeds, groups=st.sampled_from([(1, 1), (2, 1), (2, 3)]), width=st.sampled_from([1, 2]))
def test_palettes_may_be_several_and_of_vectors(bits: int, seed: int, groups: tuple[int, int], width: int) -> None:
    from voxc.backends.coreml.sdk import types

    nptype = types.nptype_from_builtin(types.string_to_builtin(f"uint{bits}"))
    random = np.random.default_rng(seed)
    indices = random.integers(0, 2**bits, (4, 6))
    table = random.standard_normal((*groups, 2**bits, width)).astype(np.float32)
    rows = [[table[i * groups[0] // 4, j * groups[1] // 6, indices[i, j]] for j in range(6)] for i in range(4)]
    dense = np.array(rows)  # [4, 6, width]
    expected = dense.transpose(0, 2, 1).reshape(4 * width, 6)
    given_ = {"vector_axis": 0} if width > 1 else {}

    def make() -> object:
        return mb.constexpr_lut_to_dense(indices=indices.astype(nptype), lut=table, **given_)

    check(with_weight(make), torch.from_numpy(expected), torch.zeros(4 * width, 6), opset="iOS18", tolerance=0)


def test_sparse_constants_may_be_compressed_too() -> None:
    from voxc.backends.coreml.sdk import types

    bit, nibble = (types.nptype_from_builtin(types.string_to_builtin(name)) for name in ("uint1", "int4"))
    mask = np.array([[1, 1, 0, 0], [0, 1, 1, 0]])
    table = np.array([2.0, 3.0], np.float32).reshape(1, 1, 2, 1)
    picked = np.array([0, 1, 1, 0])

    def from_table() -> object:
        where, values = mb.constexpr_lut_to_sparse(
            indices_mask=mask.astype(bit), indices_nonzero_data=picked.astype(bit), lut=table
        )
        return mb.constexpr_sparse_to_dense(nonzero_data=values, mask=where)

    expected = torch.tensor([[2.0, 3, 0, 0], [0, 3, 2, 0]])
    check(with_weight(from_table), expected, torch.zeros(2, 4), opset="iOS18", tolerance=0)
    scale = np.array([[0.5, 1.0, 2.0, 4.0]], np.float32)

    def from_blocks() -> object:
        where, values = mb.constexpr_sparse_blockwise_shift_scale(
            data_mask=mask.astype(bit), nonzero_data=np.array([-8, 7, 3, 1]).astype(nibble), scale=scale
        )
        return mb.constexpr_sparse_to_dense(nonzero_data=values, mask=where)

    expected = torch.tensor([[-4.0, 7, 0, 0], [0, 3, 2, 0]])
    check(with_weight(from_blocks), expected, torch.zeros(2, 4), opset="iOS18", tolerance=0)


def test_constants_may_be_stored_in_half_precision() -> None:
    values = normal(0, 4).half()
    check(
        with_weight(lambda: mb.constexpr_cast(source_val=values.numpy(), output_dtype="fp32")),
        values.float(),
        torch.zeros(4),
        opset="iOS16",
        tolerance=0,
    )
