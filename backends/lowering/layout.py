"""Orders of axes, as permutations: entry n is the axis that becomes axis n."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx


def to_channels_last(rank: int) -> tuple[int, ...]:
    """[B, C, *S] to [B, *S, C]."""
    return (0, *range(2, rank), 1)


def to_channels_first(rank: int) -> tuple[int, ...]:
    """[B, *S, C] to [B, C, *S]."""
    return (0, rank - 1, *range(1, rank - 1))


def to_end(axis: int, rank: int) -> tuple[int, ...]:
    """With `axis`, which may be negative, behind the others."""
    axis %= rank
    return (*(other for other in range(rank) if other != axis), axis)


def inverse(order: Sequence[int]) -> tuple[int, ...]:
    """The order that undoes this one."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def keeps_order(shape: Sequence[int], order: Sequence[int]) -> bool:
    """Whether only axes of size 1 change their places, so that the elements stay as they lie."""
    long = [axis for axis in order if shape[axis] > 1]
    return long == sorted(long)


def without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    """The sizes of all axes but one, which is not negative."""
    return (*shape[:axis], *shape[axis + 1 :])


def swaps_last_two(permutation: fx.Node) -> bool:
    """Whether a call of `aten.permute` does no more than exchange the last two axes."""
    rank = permutation.meta["val"].dim()
    order = [axis % rank for axis in permutation.args[1]]  # type: ignore[union-attr]
    return order == [*range(rank - 2), rank - 1, rank - 2]
