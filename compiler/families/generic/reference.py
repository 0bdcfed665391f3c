"""Inputs to compare a network by: drawn from its specs, or the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from voxc.compiler.core.axis import Sizes
from voxc.compiler.core.errors import TensorError
from voxc.compiler.core.tensor import Array, TensorSpec, accept_inputs, read_npz

#: Whole numbers are indices or flags as a rule, and 0 and 1 are both.
LARGEST_INTEGER = 1


def drawn(specs: Sequence[TensorSpec], sizes: Sizes, seed: int = 0) -> dict[str, Array]:
    """Standard normal floats, whole numbers from 0 to 1, and truth values, by name; a seed gives the same again."""
    random = np.random.default_rng(seed)
    arrays = {}
    for spec in specs:
        shape = spec.bound_shape(sizes)
        if np.dtype(spec.dtype).kind == "f":
            arrays[spec.name] = random.standard_normal(shape).astype(spec.dtype)
        else:
            arrays[spec.name] = random.integers(0, LARGEST_INTEGER + 1, shape).astype(spec.dtype)
    return arrays


class Given:
    """The user's own inputs: for seed 0 as they are. Other seeds add a little noise to floats, for calibration and
    searches need several."""

    NOISE = 0.05  # of an input's own deviation

    def __init__(self, inputs: Mapping[str, Array]) -> None:
        self.inputs = dict(inputs)

    def __call__(self, sizes: Sizes, seed: int = 0) -> dict[str, Array]:
        if seed == 0:
            return dict(self.inputs)
        random = np.random.default_rng(seed)
        return {
            name: array + (self.NOISE * array.std() * random.standard_normal(array.shape)).astype(array.dtype)
            if array.dtype.kind == "f"
            else array
            for name, array in self.inputs.items()
        }


def read_inputs(path: Path, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The inputs in an NPZ file, by name.

    Raises:
        TensorError: it is unreadable, or does not fit the network.
    """
    try:
        return accept_inputs(specs, read_npz(path))
    except TensorError as error:
        text = str(error)
        raise TensorError(text if text.startswith(str(path)) else f"{path}: {text}") from error
