"""What a reader of ONNX files takes or lacks, beside the opset of the file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """`lacks` are operators that the reader does not know, although the opset has them. Without `smallest` its TopK
    gives the largest whatever it is asked for. Without `integer_clip` its Clip is for floats alone. Without
    `integer_weights` weights are floats that a pair of QuantizeLinear and DequantizeLinear rounds, and biases are
    floats; with it both are stored as integers. With `packed_weights`, which goes before it, weights of 8 bits are the
    floats that they stand for, whose integers may be kept elsewhere.
    """

    lacks: frozenset[str] = frozenset()
    smallest: bool = True
    integer_clip: bool = True
    integer_weights: bool = True
    packed_weights: bool = False


#: What ONNX Runtime takes.
PLAIN = Dialect()
