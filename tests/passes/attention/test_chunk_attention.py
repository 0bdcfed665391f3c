from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tests.passes.harness import calls, check_pass, component_of
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.families.rvc.attention import (
    WINDOW,
    RelativeAttention,
    offsets_to_positions,
    positions_to_offsets,
)
from voxc.passes.attention.chunk_attention import ChunkAttention, rotated
from voxc.passes.base import PassResult
from voxc.passes.layout.ane_layout import AneLayout
from voxc.passes.simplify.clean_up import CleanUp

aten = torch.ops.aten
MATMUL = torch.ops.voxc.matmul_channels.default
FIRST = (CleanUp(), AneLayout())
DISTANCES = 2 * WINDOW + 1


def ane() -> Target:
    return load_targets()["onnxruntime-cpu"].model_copy(update={"layout": "ane", "work_items": None})


def check(module: nn.Module, shape: tuple[int, ...], *, fires: bool = True) -> PassResult:
    return check_pass(ChunkAttention(), component_of(module, shape), ane(), fires=fires, first=FIRST)


class Relative(RelativeAttention):
    """Self-attention with relative positions, as VITS has it, of full length; `scale` is that of its own queries."""

    def __init__(self, heads: int, channels: int, scale: float = 1.0) -> None:
        super().__init__(channels, heads)
        torch.manual_seed(0)
        self.scale = scale
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.5)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        shape = (1, self.heads, self.head_width, x.shape[2])
        query, key, value = (conv(x).view(shape).transpose(2, 3) for conv in (self.conv_q, self.conv_k, self.conv_v))
        offsets = F.linear(query * self.scale, self.emb_rel_k[0])
        weights = torch.softmax(query * 0.5 @ key.transpose(2, 3) + offsets_to_positions(offsets), -1)
        values = weights @ value + F.linear(positions_to_offsets(weights), self.emb_rel_v[0].t())
        return self.conv_o(values.transpose(2, 3).reshape(x.shape))


class Plain(nn.Module):
    """Self-attention over [B, T, C], as transformers have it; `between` is what happens to the scores."""

    def __init__(self, heads: int = 2, width: int = 8, between: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.heads = heads
        self.between = between
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        shape = (batch, length, self.heads, width // self.heads)
        q, k, v = (layer(x).view(shape).transpose(1, 2) for layer in (self.q, self.k, self.v))
        scores = self.between((q * 0.3) @ k.transpose(2, 3))
        return self.o((torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(batch, length, width))


@settings(max_examples=8, deadline=None)
@given(st.integers(2, 3), st.integers(2, 4), st.integers(2, 30), st.sampled_from([0.5, 2.0]))
def test_relative_positions(heads: int, depth: int, length: int, scale: float) -> None:
    result = check(Relative(heads, heads * depth, scale), (1, heads * depth, length))
    assert calls(result.program, MATMUL) == 2 * heads
    assert calls(result.program, aten.permute.default) == 1
    assert calls(result.program, aten.bmm.default) + calls(result.program, aten.constant_pad_nd.default) == 0
    tables = [name for name in result.program.weight_keys.values() if "rotated" in name]
    assert len(tables) == 2, "heads share theirs"
    for node in result.program.graph.nodes:
        value = node.meta.get("val")
        assert not isinstance(value, Tensor) or max(value.shape) <= DISTANCES**2, "no axis of all pairs"


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_heads_of_a_transformer(heads: int) -> None:
    result = check(Plain(heads), (1, 9, 8))
    assert calls(result.program, MATMUL) == 2 * heads
    assert calls(result.program, aten.permute.default) == 3  # what comes in, the keys, what goes out
    assert result.notes == (f"1 layers of attention in {heads} chunks, with a permute for each layer",)
    for node in result.program.graph.nodes:
        if node.target is aten._softmax.default:
            assert node.meta["val"].shape == (1, 9, 1, 9)
            assert node.args[1] == 1


@pytest.mark.parametrize(
    ("module", "shape", "reason"),
    [
        (Plain(between=lambda x: x + torch.ones(9, 9)), (1, 9, 8), "is added to its scores"),
        (Plain(between=torch.tanh), (1, 9, 8), "is added to its scores"),
        (Plain(), (2, 9, 8), "its scores are not [H, T, T]"),
        (Plain(between=lambda x: x.transpose(1, 2).reshape(x.shape)), (1, 9, 8), "the scores are not heads"),
    ],
    ids=["a mask", "capped scores", "a batch", "scores of other heads"],
)
def test_other_attention_stays_with_a_reason(module: nn.Module, shape: tuple[int, ...], reason: str) -> None:
    (note,) = check(module, shape, fires=False).notes
    assert "attention stays as it is" in note
    assert reason in note


def test_weights_used_elsewhere() -> None:
    class Shown(Plain):
        def forward(self, x: Tensor) -> Tensor:
            q = self.q(x).view(1, 9, 2, 4).transpose(1, 2)
            k = self.k(x).view(1, 9, 2, 4).transpose(1, 2)
            weights = torch.softmax(q @ k.transpose(2, 3), -1)
            attended = (weights @ self.v(x).view(1, 9, 2, 4).transpose(1, 2)).transpose(1, 2).reshape(1, 9, 8)
            return self.o(attended).sum(2) + weights.sum((1, 2))

    (note,) = check(Shown(), (1, 9, 8), fires=False).notes
    assert "used for something else" in note


def test_other_targets(target: Target) -> None:
    check_pass(ChunkAttention(), component_of(Plain(), (1, 9, 8)), target, fires=False)


def test_rotated_tables() -> None:
    """For a query at p and a key at k, row p mod R, k mod R has the vector of their distance."""
    table = torch.randn(2, 5)
    rows = rotated(table).view(5, 5, 2)
    for p in range(11):
        for k in range(max(p - 2, 0), p + 3):
            assert torch.equal(rows[p % 5, k % 5], table[:, k - p + 2])
