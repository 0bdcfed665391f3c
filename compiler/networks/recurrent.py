"""Recurrent layers that stay whole in a graph, for runtimes that have them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voxc.compiler.core import ops as _operators  # noqa: F401, registers voxc::gru

WAYS = ("", "_reverse")


class BidirectionalGru(nn.Module):
    """`nn.GRU`, bidirectional with the batch first, under its parameter names: [B, T, width] -> [B, T, 2 hidden].

    torch.export would write a step for each frame, in as many nodes; here a layer is one call of `voxc::gru`.
    """

    def __init__(self, width: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.layers = layers
        for layer in range(layers):
            inputs = width if layer == 0 else 2 * hidden
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (3 * hidden, inputs), "weight_hh": (3 * hidden, hidden)}
            shapes |= dict.fromkeys(("bias_ih", "bias_hh"), (3 * hidden,))
            for way in WAYS:
                for name, shape in shapes.items():
                    drawn = torch.empty(shape).uniform_(-(hidden**-0.5), hidden**-0.5)
                    self.register_parameter(f"{name}_l{layer}{way}", nn.Parameter(drawn))

    def forward(self, x: Tensor) -> Tensor:
        for layer in range(self.layers):
            inner, recurrent, *biases = (
                torch.stack([onnx_gates(getattr(self, f"{name}_l{layer}{way}")) for way in WAYS])
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            x = torch.ops.voxc.gru(x, inner, recurrent, torch.cat(biases, dim=1))
        return x


def onnx_gates(rows: Tensor) -> Tensor:
    """Rows of gates in PyTorch's order as `voxc::gru` has them: update, reset, candidate."""
    reset, update, candidate = rows.chunk(3)
    return torch.cat([update, reset, candidate])
