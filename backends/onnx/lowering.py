"""What a lowering is: one ATen call to ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable

#: `(build, node, *arguments)` -> the name of the output value, or one for each of several outputs. `arguments` are
#: those of the ATen schema in order, tensors as FX nodes.
Lowering = Callable[..., "str | list[str]"]
