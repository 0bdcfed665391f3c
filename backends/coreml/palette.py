"""Palettes: the 16 numbers that stand best for a tensor, and for each of its elements the place of one."""

from __future__ import annotations

import numpy as np

from voxc.compiler.core.tensor import Array

COLOURS = 16
MOST_ROUNDS = 300
#: All bit patterns of float16, in which elements are told apart: finer than any palette.
CODES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def palette(array: Array) -> tuple[Array, Array]:
    """The palette [16] in float32 and the places [array.size] in uint8, in the order of memory.

    k-means along one axis: from a start at the elements' quantiles, each number becomes the mean of the elements
    that it is the nearest to, until none moves. The same elements always give the same palette.
    """
    codes = np.ascontiguousarray(array, np.float16).reshape(-1).view(np.uint16)
    counts = np.bincount(codes, minlength=CODES.size)
    used = np.flatnonzero(counts)
    used = used[np.argsort(CODES[used], kind="stable")]
    values, weights = CODES[used].astype(np.float64), counts[used].astype(np.float64)
    table = refine(values, weights, start(values, weights))
    nearest = np.zeros(CODES.size, np.uint8)
    nearest[used] = np.searchsorted(boundaries(table), values)
    return table.astype(np.float32), nearest[codes]


def start(values: Array, weights: Array) -> Array:
    """As dense as the elements: each stands for as many of them."""
    below = np.cumsum(weights)
    return np.interp((np.arange(COLOURS) + 0.5) / COLOURS * below[-1], below, values)


def refine(values: Array, weights: Array, table: Array) -> Array:
    """Lloyd's rounds on sorted values."""
    mass = np.concatenate([[0.0], np.cumsum(weights)])
    moment = np.concatenate([[0.0], np.cumsum(weights * values)])
    for _ in range(MOST_ROUNDS):
        cuts = np.concatenate([[0], np.searchsorted(values, boundaries(table)), [values.size]])
        inside = np.diff(mass[cuts])
        means = np.divide(np.diff(moment[cuts]), inside, out=table.copy(), where=inside > 0)
        if np.array_equal(means, table):
            break
        table = np.sort(means)
    return table


def boundaries(table: Array) -> Array:
    return (table[1:] + table[:-1]) / 2


def pack(places: Array) -> Array:
    """Two places to a byte, the first in its lower half."""
    if places.size % 2:
        places = np.append(places, np.uint8(0))
    return places[0::2] | (places[1::2] << 4)
