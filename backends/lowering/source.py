"""Where in the user's model a node comes from, for messages."""

from __future__ import annotations

import torch
from torch import fx

from voxc.compiler.core.nodes import module_path


def operator_name(node: fx.Node) -> str:
    """As PyTorch spells it: `aten.sort.default`; the function's own name for calls of Python functions."""
    return str(node.target) if isinstance(node.target, torch._ops.OpOverload) else getattr(node.target, "__name__", "?")


def source_line(node: fx.Node) -> str:
    """The innermost line of the user's model that made the node, as `file:line`; lines of torch.nn only where there
    are no others. Empty if the graph does not say."""
    frames = [
        line.strip() for line in (node.meta.get("stack_trace") or "").splitlines() if line.strip().startswith("File")
    ]
    if not frames:
        return ""
    own = [frame for frame in frames if "/torch/nn/" not in frame] or frames
    file, line, *_ = own[-1].removeprefix("File ").split(", ")
    return f"{file.strip(chr(34)).rsplit('/', 1)[-1]}:{line.removeprefix('line ')}"


def place(node: fx.Node, component: str) -> str:
    """A call with its module, node and line: `aten.sort.default in dec.pre (node sort_1, model.py:33)`. `component` is
    the module of what the network itself calls."""
    details = ", ".join(filter(None, (f"node {node.name}", source_line(node))))
    return f"{operator_name(node)} in {module_path(node) or component} ({details})"
