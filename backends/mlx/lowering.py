"""What a lowering is: one call in the exported graph to MLX operations."""

from __future__ import annotations

from collections.abc import Callable

#: `(build, node, *arguments)` -> the value, or one for each of several outputs. `arguments` are those of the operator's
#: schema in order, tensors as FX nodes.
Lowering = Callable[..., object]
