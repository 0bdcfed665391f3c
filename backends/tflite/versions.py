"""Which version of an operator a call needs, and which TensorFlow Lite came with it.

A runtime refuses files with operators newer than its own, so each is written at the oldest version that does the job.
The numbers are facts about TensorFlow Lite: `tensorflow/lite/tools/versioning/op_version.cc` tells which types and
options need which version, `runtime_version.cc` beside it which release brought it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxc.backends.tflite.file import Value


@dataclass(frozen=True)
class Signature:
    """What the version of an operator may depend on."""

    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    options: Mapping[str, Any]

    def dtype(self, place: int) -> str | None:
        value = self.inputs[place] if place < len(self.inputs) else None
        return None if value is None else value.dtype

    @property
    def rank(self) -> int:
        """The largest number of axes among the inputs."""
        return max(len(value.shape) for value in self.inputs if value is not None)

    @property
    def broadcasts(self) -> bool:
        left, right = self.inputs[:2]
        return left is not None and right is not None and left.shape != right.shape

    @property
    def hybrid(self) -> bool:
        """Whether float activations meet integer weights."""
        return (self.dtype(0), self.dtype(1), self.outputs[0].dtype) == ("float32", "int8", "float32")

    @property
    def by_channel(self) -> bool:
        """Whether an input has a scale for each channel."""
        return any(value and value.quantization and len(value.quantization.scale) > 1 for value in self.inputs)

    @property
    def product_scale(self) -> float:
        """The scale of a product over the scale of its result; 0 for numbers that have none."""
        scales = [
            value.quantization.scale[0] for value in (*self.inputs, *self.outputs) if value and value.quantization
        ]
        return scales[0] * scales[1] / scales[2] if len(scales) == 3 else 0.0

    @property
    def grouped(self) -> bool:
        x, weight = self.inputs[:2]
        return x is not None and weight is not None and x.shape[-1] != weight.shape[-1]


Condition = Callable[[Signature], bool]


def first_is(*dtypes: str) -> Condition:
    return lambda call: call.dtype(0) in dtypes


def broadcasts_beyond(rank: int) -> Condition:
    return lambda call: call.broadcasts and call.rank > rank


def of_rank_beyond(rank: int) -> Condition:
    return lambda call: call.rank > rank


INTEGER = first_is("int8")
TWO_IF_INTEGER = ((2, INTEGER),)

#: The first condition that holds decides; 1 if none does.
RULES: Mapping[str, tuple[tuple[int, Condition], ...]] = {
    **dict.fromkeys(
        (
            "ABS",
            "CONCATENATION",
            "EQUAL",
            "EXP",
            "GREATER",
            "GREATER_EQUAL",
            "LESS",
            "LESS_EQUAL",
            "LOG",
            "LOGISTIC",
            "MEAN",
            "RELU",
            "RSQRT",
            "SOFTMAX",
            "SQUARED_DIFFERENCE",
            "SUM",
            "TANH",
            "TOPK_V2",
            "GELU",
        ),
        TWO_IF_INTEGER,
    ),
    "ADD": ((4, first_is("int64")), (2, INTEGER)),
    "BATCH_MATMUL": ((2, INTEGER),),
    "BROADCAST_TO": ((3, INTEGER), (2, lambda call: True)),
    "CAST": ((3, lambda call: "int8" in (call.dtype(0), call.outputs[0].dtype)),),
    "CONV_2D": (
        (6, lambda call: call.grouped),
        (3, INTEGER),
        (5, lambda call: call.hybrid and call.by_channel),
        (2, lambda call: call.hybrid),
    ),
    "DEPTHWISE_CONV_2D": (
        (6, lambda call: call.hybrid and call.by_channel),
        (4, lambda call: call.hybrid),
        (3, INTEGER),
        (2, lambda call: call.options["dilationWFactor"] != 1 or call.options["dilationHFactor"] != 1),
    ),
    "DEQUANTIZE": ((3, first_is("float16")), (5, lambda call: call.by_channel), (2, INTEGER)),
    "DIV": ((2, broadcasts_beyond(4)),),
    "FULLY_CONNECTED": (
        (4, INTEGER),
        (3, lambda call: call.hybrid),
    ),
    "GATHER": (
        (5, lambda call: call.options.get("batchDims", 0) != 0),
        (3, first_is("bool")),
        (2, INTEGER),
    ),
    "MAXIMUM": ((3, broadcasts_beyond(4)), (2, INTEGER)),
    "MINIMUM": ((3, broadcasts_beyond(4)), (2, INTEGER)),
    "MUL": ((5, first_is("int64")), (3, lambda call: call.product_scale >= 1), (2, INTEGER)),
    "PAD": ((4, of_rank_beyond(4)), (2, INTEGER)),
    "PADV2": ((4, of_rank_beyond(4)), (2, INTEGER)),
    "REVERSE_V2": ((3, INTEGER), (2, first_is("bool"))),
    "SLICE": ((5, of_rank_beyond(4)), (2, INTEGER)),
    "STRIDED_SLICE": ((4, of_rank_beyond(4)), (3, first_is("bool")), (2, INTEGER)),
    "SUB": ((4, first_is("int64")), (3, broadcasts_beyond(4)), (2, INTEGER)),
    "TRANSPOSE": ((6, of_rank_beyond(5)), (4, of_rank_beyond(4)), (3, first_is("bool")), (2, INTEGER)),
    "TRANSPOSE_CONV": ((3, lambda call: len(call.inputs) == 4), (2, lambda call: call.dtype(1) == "int8")),
}

#: The release that brought each version of an operator, the first version first.
RELEASES: Mapping[str, Mapping[int, str]] = {
    "ABS": {1: "1.13.0", 2: "2.4.0"},
    "ADD": {1: "1.5.0", 2: "1.14.0", 4: "2.6.0"},
    "BATCH_MATMUL": {1: "2.3.0", 2: "2.3.0"},
    "BROADCAST_TO": {2: "2.5.0", 3: "2.5.0"},
    "CAST": {1: "1.5.0", 3: "2.8.0"},
    "CEIL": {1: "1.14.0"},
    "CONCATENATION": {1: "1.5.0", 2: "1.14.0"},
    "CONV_2D": {1: "1.5.0", 2: "1.14.0", 3: "1.14.0", 5: "2.4.0", 6: "2.9.0"},
    "COS": {1: "1.14.0"},
    "CUMSUM": {1: "2.4.0"},
    "DEPTHWISE_CONV_2D": {1: "1.5.0", 2: "1.12.0", 3: "1.14.0", 4: "2.2.0", 6: "2.3.0"},
    "DEQUANTIZE": {1: "1.13.1", 2: "1.14.0", 3: "1.15.0", 5: "2.7.0"},
    "DIV": {1: "1.6.0", 2: "2.3.0"},
    "EQUAL": {1: "1.14.0", 2: "1.14.0"},
    "EXP": {1: "1.7.0", 2: "2.12.0"},
    "FLOOR": {1: "1.9.0"},
    "FULLY_CONNECTED": {1: "1.5.0", 3: "1.14.0", 4: "1.14.0"},
    "GATHER": {1: "1.6.0", 2: "1.14.0", 3: "1.15.0", 5: "2.5.0"},
    "GELU": {1: "2.9.0", 2: "2.9.0"},
    "GREATER": {1: "1.14.0", 2: "1.14.0"},
    "GREATER_EQUAL": {1: "1.14.0", 2: "1.14.0"},
    "LEAKY_RELU": {1: "1.13.1"},
    "LESS": {1: "1.14.0", 2: "1.14.0"},
    "LESS_EQUAL": {1: "1.14.0", 2: "1.14.0"},
    "LOG": {1: "1.14.0", 2: "2.12.0"},
    "LOGICAL_AND": {1: "1.11.0"},
    "LOGICAL_NOT": {1: "1.11.0"},
    "LOGICAL_OR": {1: "1.11.0"},
    "LOGISTIC": {1: "1.14.0", 2: "1.14.0"},
    "MAXIMUM": {1: "1.14.0", 2: "1.14.0", 3: "2.3.0"},
    "MEAN": {1: "1.6.0", 2: "1.14.0"},
    "MINIMUM": {1: "1.14.0", 2: "1.14.0", 3: "2.3.0"},
    "MUL": {1: "1.5.0", 2: "1.14.0", 3: "1.15.0", 5: "2.6.0"},
    "NEG": {1: "1.9.0"},
    "PAD": {1: "1.5.0", 2: "1.14.0", 4: "2.6.0"},
    "PADV2": {1: "1.9.0", 2: "1.14.0", 4: "2.6.0"},
    "POW": {1: "1.10.0"},
    "QUANTIZE": {1: "1.14.0"},
    "REDUCE_MAX": {1: "1.11.0", 2: "1.14.0"},
    "REDUCE_MIN": {1: "1.11.0", 2: "1.14.0"},
    "RELU": {1: "1.5.0", 2: "2.1.0"},
    "RESHAPE": {1: "1.5.0"},
    "REVERSE_V2": {1: "1.14.0", 2: "2.2.0", 3: "2.5.0"},
    "ROUND": {1: "1.14.0"},
    "RSQRT": {1: "1.10.0", 2: "2.5.0"},
    "SELECT_V2": {1: "2.2.0"},
    "SIN": {1: "1.9.0"},
    "SLICE": {1: "1.14.0", 2: "1.14.0", 5: "2.5.0"},
    "SOFTMAX": {1: "1.5.0", 2: "1.14.0"},
    "SQRT": {1: "1.10.0"},
    "SQUARE": {1: "1.12.0"},
    "SQUARED_DIFFERENCE": {1: "1.13.1", 2: "2.5.0"},
    "STRIDED_SLICE": {1: "1.6.0", 2: "1.14.0", 3: "2.1.0", 4: "2.2.0"},
    "SUB": {1: "1.6.0", 2: "1.14.0", 3: "2.3.0", 4: "2.4.0"},
    "SUM": {1: "1.10.0", 2: "1.15.0"},
    "TANH": {1: "1.14.0", 2: "1.14.0"},
    "TOPK_V2": {1: "1.7.0", 2: "1.14.0"},
    "TRANSPOSE": {1: "1.6.0", 2: "1.14.0", 3: "1.15.0", 4: "2.3.0", 6: "2.12.0"},
    "TRANSPOSE_CONV": {1: "1.9.0", 2: "2.2.0", 3: "2.3.0"},
}


def version_of(code: str, call: Signature) -> int:
    """The oldest version of an operator that takes such a call."""
    return next((version for version, holds in RULES.get(code, ()) if holds(call)), 1)


def oldest_runtime(operators: Iterable[tuple[str, int]]) -> str:
    """The oldest TensorFlow Lite that has all of these operators, each with its version; like `2.3.0`."""
    releases = [RELEASES[code][version] for code, version in operators]
    return max(releases, key=lambda release: tuple(map(int, release.split("."))), default="1.5.0")
