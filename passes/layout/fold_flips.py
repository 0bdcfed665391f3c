"""Channel reversals move into the weights of the next convolution.

    before:  x0, x1 = split(flip(x));  y = cat(x0, x1 - post(enc(pre(x0))))
    after:   x1, x0 = split(x);  y' = cat(x1 - post'(enc(pre'(x0))), x0)      where y = flip(y')

VITS flows reverse the channels between couplings. One sweep in topological order keeps, for each value, whether the
graph now holds it reversed; a reversal then costs nothing until a convolution absorbs it by permuting its weight or the
next reversal undoes it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import fx

from voxc.compiler.core.errors import PassError
from voxc.compiler.core.nodes import call_arguments, module_path
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor, same_size
from voxc.passes.kit.pattern import is_call
from voxc.passes.kit.rewrite import Rewrite
from voxc.passes.layout.convolutions import has_constants

aten = torch.ops.aten
CHANNELS = 1


@dataclass(frozen=True)
class FoldFlips(Rewrite):
    """Removes reversals of the channel axis; those that something else consumes stay, with a note."""

    after: ClassVar[tuple[str, ...]] = ("fold_weight_norm", "drop_full_masks")

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        flips = len(editor.calls(aten.flip.default))
        sweep = Sweep(editor)
        for node in list(editor.graph.nodes):
            sweep.visit(node)
        for alias in editor.calls(aten.alias.default):
            alias.replace_all_uses_with(call_arguments(alias)[0])
        editor.drop_dead_nodes()
        left = len(editor.calls(aten.flip.default))
        editor.modified = left < flips
        if editor.modified:
            yield f"{flips - left} of {flips} channel reversals folded"
        yield from sweep.refusals

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        flips = [sum(is_call(node, aten.flip.default) for node in program.graph.nodes) for program in (before, after)]
        if flips[1] > flips[0]:
            raise PassError(f"{self.name}: {after.name} has {flips[1]} reversals, and had {flips[0]}")


@dataclass
class Sweep:
    """Rewrites node after node. `reversed` has the nodes whose channels the rewritten graph holds in reverse."""

    editor: GraphEditor
    reversed: set[fx.Node] = field(default_factory=set)
    refusals: list[str] = field(default_factory=list)

    def visit(self, node: fx.Node) -> None:
        touched = [source for source in node.all_input_nodes if source in self.reversed]
        if node.op == "call_function" and is_channel_flip(node):
            self.cancel(node)
        elif touched:
            rule = RULES.get(node.target) if node.op == "call_function" else None
            if rule is None or not rule(self, node):
                self.restore(node, touched)

    def cancel(self, flip: fx.Node) -> None:
        """The reversal of a value is the value itself, held the other way round: an alias tells the two apart."""
        source = call_arguments(flip)[0]
        with self.editor.before(flip):
            alias = self.editor.call(aten.alias.default, source)
        if source not in self.reversed:
            self.reversed.add(alias)
        self.editor.replace(flip, alias)

    def restore(self, user: fx.Node, sources: list[fx.Node]) -> None:
        """Reverses back in front of a user that knows nothing of reversals."""
        for source in sources:
            with self.editor.before(user):
                user.replace_input_with(source, self.editor.call(aten.flip.default, source, [CHANNELS]))
        self.refusals.append(f"a reversal stays in front of {user.name} ({module_path(user) or user.op})")


# Each rule rewrites `node`, some of whose sources are held in reverse, and says whether it could.
Rule = Callable[[Sweep, fx.Node], bool]


def is_channel_flip(node: fx.Node) -> bool:
    if node.target is not aten.flip.default:
        return False
    source, dims = call_arguments(node)
    return len(dims) == 1 and is_channels(dims[0], source)


def is_channels(dim: int, tensor: fx.Node) -> bool:
    return dim in (CHANNELS, CHANNELS - tensor.meta["val"].dim())


def stays(sweep: Sweep, node: fx.Node) -> bool:
    """Elementwise over one tensor: a reversed value in, a reversed value out."""
    sweep.reversed.add(node)
    return True


def meet(sweep: Sweep, node: fx.Node) -> bool:
    """Elementwise over two tensors: both must be held the same way, or one be the same for all channels."""
    for operand in node.all_input_nodes:
        if operand in sweep.reversed and operand.meta["val"].dim() != node.meta["val"].dim():
            return False  # its channels are another axis of the result
        if operand not in sweep.reversed and not same_for_all_channels(operand, node):
            if not reverse_outputs(sweep, operand):
                return False
            sweep.reversed.add(operand)
    return stays(sweep, node)


def same_for_all_channels(operand: fx.Node, node: fx.Node) -> bool:
    shape, rank = operand.meta["val"].shape, node.meta["val"].dim()
    axis = CHANNELS - (rank - len(shape))
    return axis < 0 or same_size(shape[axis], 1)


def reverse_outputs(sweep: Sweep, node: fx.Node) -> bool:
    """Permutes the output channels of a convolution that has no other user."""
    if node.target is not aten.convolution.default or len(node.users) != 1:
        return False
    _, _, bias, *_, transposed, _, groups = call_arguments(node)
    if groups != 1 or not has_constants(sweep.editor, node):
        return False
    permute_weight(sweep, node, 1, axis=1 if transposed else 0)
    if bias is not None:
        permute_weight(sweep, node, 2, axis=0)
    return True


def absorb(sweep: Sweep, conv: fx.Node) -> bool:
    """A convolution takes its input channels in any order, if its weight is permuted alike."""
    _, weight, bias, *_, transposed, _, groups = call_arguments(conv)
    if groups != 1 or sweep.editor.weight(weight) is None or bias in sweep.reversed:
        return False
    permute_weight(sweep, conv, 1, axis=0 if transposed else 1)
    return True


def permute_weight(sweep: Sweep, conv: fx.Node, argument: int, axis: int) -> None:
    source = call_arguments(conv)[argument]
    tensor = sweep.editor.weight(source)
    assert tensor is not None
    conv.update_arg(argument, sweep.editor.add_weight(f"{sweep.editor.weight_key(source)}_flipped", tensor.flip(axis)))


def mirror_slice(sweep: Sweep, node: fx.Node) -> bool:
    """slice(flip(x), a, b) = flip(slice(x, C - b, C - a))."""
    source, dim, start, end, step = call_arguments(node)
    if not is_channels(dim, source):
        return stays(sweep, node)
    channels = source.meta["val"].shape[CHANNELS]
    if step != 1 or not all(isinstance(bound, int | None) for bound in (start, end)) or not isinstance(channels, int):
        return False
    first, last, _ = slice(start, end).indices(channels)
    node.args = (source, dim, channels - last, channels - first)
    return stays(sweep, node)


def mirror_split(sweep: Sweep, node: fx.Node) -> bool:
    """The sizes of a split over channels change places, and `mirror_part` swaps the parts."""
    source, sizes, dim = call_arguments(node)
    if is_channels(dim, source):
        node.args = (source, sizes[::-1], dim)
    return stays(sweep, node)


def mirror_part(sweep: Sweep, node: fx.Node) -> bool:
    split, index = call_arguments(node)
    if split.target is not aten.split_with_sizes.default:
        return False
    source, sizes, dim = call_arguments(split)
    if is_channels(dim, source):
        node.args = (split, len(sizes) - 1 - index)
    return stays(sweep, node)


def mirror_cat(sweep: Sweep, node: fx.Node) -> bool:
    parts, dim = call_arguments(node)
    if not all(part in sweep.reversed for part in parts):
        return False
    if is_channels(dim, node):
        node.args = (parts[::-1], dim)
    return stays(sweep, node)


RULES: dict[Any, Rule] = {
    **dict.fromkeys(
        (
            aten.alias.default, aten.clone.default, aten.exp.default, aten.neg.default, aten.tanh.default,
            aten.sigmoid.default, aten.relu.default, aten.leaky_relu.default,
        ),
        stays,
    ),
    **dict.fromkeys((aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor), meet),
    aten.convolution.default: absorb,
    aten.slice.Tensor: mirror_slice,
    aten.split_with_sizes.default: mirror_split,
    operator.getitem: mirror_part,
    aten.cat.default: mirror_cat,
}  # fmt: skip
