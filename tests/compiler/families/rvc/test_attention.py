from __future__ import annotations

import pytest
import torch

from voxc.compiler.families.rvc.attention import WINDOW, FeedForward, offsets_to_positions, positions_to_offsets

LENGTHS = (1, 2, WINDOW, WINDOW + 1, 3 * WINDOW)


@pytest.mark.parametrize("length", LENGTHS)
def test_offsets_find_their_positions(length: int) -> None:
    x = torch.randn(2, 3, length, 2 * WINDOW + 1)
    expected = torch.zeros(2, 3, length, length)
    for query in range(length):
        for key in range(max(0, query - WINDOW), min(length, query + WINDOW + 1)):
            expected[:, :, query, key] = x[:, :, query, key - query + WINDOW]
    assert torch.equal(offsets_to_positions(x), expected)


@pytest.mark.parametrize("length", LENGTHS)
def test_positions_find_their_offsets(length: int) -> None:
    x = torch.randn(2, 3, length, length)
    expected = torch.zeros(2, 3, length, 2 * WINDOW + 1)
    for query in range(length):
        for key in range(max(0, query - WINDOW), min(length, query + WINDOW + 1)):
            expected[:, :, query, key - query + WINDOW] = x[:, :, query, key]
    assert torch.equal(positions_to_offsets(x), expected)


@pytest.mark.parametrize("kernel_size", [1, 3, 4])
def test_feed_forward_keeps_the_length(kernel_size: int) -> None:
    """Also where no padding is the same on both sides."""
    block = FeedForward(2, 4, kernel_size)
    assert block(torch.randn(1, 2, 7), torch.ones(1, 1, 7)).shape == (1, 2, 7)
