"""Self-attention encoder with windowed relative positions, as VITS and RVC use it.

Shaw et al., "Self-Attention with Relative Position Representations" (2018): every head shares one table of
`2 * WINDOW + 1` key embeddings and one of value embeddings; positions further apart than the window add nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WINDOW = 10
MASKED_SCORE = -1e4


class Encoder(nn.Module):
    """Post-norm transformer over channels-first sequences: [B, hidden, T] -> [B, hidden, T]."""

    def __init__(self, hidden: int, filters: int, heads: int, layers: int, kernel_size: int) -> None:
        super().__init__()
        self.attn_layers = nn.ModuleList(RelativeAttention(hidden, heads) for _ in range(layers))
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(hidden) for _ in range(layers))
        self.ffn_layers = nn.ModuleList(FeedForward(hidden, filters, kernel_size) for _ in range(layers))
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(hidden) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: [B, hidden, T]; mask: [B, 1, T], one where a frame is valid."""
        pairs = mask.unsqueeze(2) * mask.unsqueeze(-1)
        x = x * mask
        layers = zip(self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True)
        for attention, norm_1, feed_forward, norm_2 in layers:
            x = norm_1(x + attention(x, pairs))
            x = norm_2(x + feed_forward(x, mask))
        return x * mask


class RelativeAttention(nn.Module):
    """Multi-head self-attention on [B, channels, T]."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_width = channels // heads
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)
        self.emb_rel_k = nn.Parameter(torch.zeros(1, 2 * WINDOW + 1, self.head_width))
        self.emb_rel_v = nn.Parameter(torch.zeros(1, 2 * WINDOW + 1, self.head_width))

    def forward(self, x: Tensor, pairs: Tensor) -> Tensor:
        """x: [B, channels, T]; pairs: [B, 1, T, T], one where query and key are both valid frames."""
        batch, channels, length = x.shape
        query, key, value = (
            conv(x).view(batch, self.heads, self.head_width, length).transpose(2, 3)
            for conv in (self.conv_q, self.conv_k, self.conv_v)
        )
        query = query / math.sqrt(self.head_width)
        relative_logits = F.linear(query, self.emb_rel_k[0])
        scores = torch.matmul(query, key.transpose(-2, -1)) + offsets_to_positions(relative_logits)
        weights = torch.softmax(scores.masked_fill(pairs == 0, MASKED_SCORE), dim=-1)
        relative_values = F.linear(positions_to_offsets(weights), self.emb_rel_v[0].transpose(0, 1))
        attended = torch.matmul(weights, value) + relative_values
        return self.conv_o(attended.transpose(2, 3).reshape(batch, channels, length))


class FeedForward(nn.Module):
    """Two convolutions with a ReLU between them, padded to keep the length."""

    def __init__(self, channels: int, filters: int, kernel_size: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(channels, filters, kernel_size, padding=(kernel_size - 1) // 2)
        self.conv_2 = nn.Conv1d(filters, channels, kernel_size, padding=(kernel_size - 1) // 2)
        self.even = kernel_size % 2 == 0  # looks one further ahead than back

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = torch.relu(self.conv_1(self.pad(x * mask)))
        return self.conv_2(self.pad(x * mask)) * mask

    def pad(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 1)) if self.even else x


class ChannelNorm(nn.Module):
    """Layer norm over the channels of [B, C, T], with the parameter names that VITS gives them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.transpose(1, -1), self.gamma.shape, self.gamma, self.beta).transpose(1, -1)


def offsets_to_positions(x: Tensor) -> Tensor:
    """Skews [B, H, T, 2 * WINDOW + 1], by key offset, into [B, H, T, T], by key position, zero beyond the window.

    Reading the flattened rows at a width one smaller moves each row one to the right of the row above it.
    """
    batch, heads, length, offsets = x.shape
    width = length + offsets - 1
    flat = F.pad(x, (0, length)).reshape(batch, heads, length * (width + 1))
    return flat[:, :, : length * width].reshape(batch, heads, length, width)[..., WINDOW : WINDOW + length]


def positions_to_offsets(x: Tensor) -> Tensor:
    """Skews [B, H, T, T], by key position, into [B, H, T, 2 * WINDOW + 1], by key offset."""
    batch, heads, length, _ = x.shape
    width = length + 2 * WINDOW
    flat = F.pad(x, (WINDOW, WINDOW)).reshape(batch, heads, length * width)
    return F.pad(flat, (0, length)).reshape(batch, heads, length, width + 1)[..., : 2 * WINDOW + 1]
