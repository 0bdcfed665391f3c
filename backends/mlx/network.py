"""A program that has been lowered to MLX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from voxc.backends.mlx.statements import Statement, Value
from voxc.compiler.core.tensor import Array

#: The files of an artifact.
FUNCTION, WEIGHTS, SOURCE = "model.mlxfn", "model.safetensors", "model.py"


@dataclass(frozen=True)
class Network:
    """What it takes and gives by name, its operations in order, and its weights as they are stored."""

    name: str
    inputs: tuple[Value, ...]
    outputs: Mapping[str, Value]
    statements: tuple[Statement, ...]
    weights: Mapping[Value, Array]
