"""Padding as ATen has it: pairs from the last axis on, negative where elements are cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Pairs = list[tuple[int, int]]


def pad_pairs(padding: Sequence[Any], rank: int) -> list[tuple[Any, Any]]:
    """What comes before and after each of `rank` axes, in the order of the axes; sizes may be numbers or nodes."""
    pairs = [(padding[place], padding[place + 1]) for place in reversed(range(0, len(padding), 2))]
    return [(0, 0)] * (rank - len(pairs)) + pairs


def crops_and_pads(padding: Sequence[int], rank: int) -> tuple[Pairs, Pairs]:
    """How much to cut off before and after each axis, and how much to add then; none is negative."""
    pairs = pad_pairs(padding, rank)
    crops = [(max(0, -before), max(0, -after)) for before, after in pairs]
    return crops, [(max(0, before), max(0, after)) for before, after in pairs]
