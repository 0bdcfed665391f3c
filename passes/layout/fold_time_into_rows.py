"""Long stretches of 1-D convolutions run as 2-D ones over overlapped rows of time.

    before:  y [B, C, L] = ... conv1d(leaky_relu(conv1d(x))) + x ...
    after:   rows [B, C, R, W] = overlapping windows of x;  the same chain as conv2d with kernels (1, k);
             y = the middles of the rows, joined

A CPU runtime has its blocked, vectorised kernels for 2-D convolutions only, and shares their work out over rows and
blocks of channels: one row of a 64-channel stage occupies one core. Neighbouring rows overlap by the halo, the number
of samples that a wrong value at the edge of a row can travel through the chain, so the middles are exact. The outer
edges are the signal's own and see the same zeros as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import fx

from voxc.compiler.core.nodes import call_arguments, module_path
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.rewrite import Rewrite
from voxc.passes.layout.convolutions import has_constants
from voxc.passes.layout.rows import ELEMENTWISE, Rows

aten = torch.ops.aten
TIME = 2
ROWS = 2


@dataclass(frozen=True)
class FoldTimeIntoRows(Rewrite):
    """Folds stages of at least `least_length` samples where the target shares work out by rows.

    `channel_block` is how many output channels such a kernel handles at once, `most_overlap` the share of samples that
    may be computed twice.
    """

    after: ClassVar[tuple[str, ...]] = ("fold_weight_norm", "drop_full_masks", "frame_rate_source_phase")

    least_length: int = 1000
    channel_block: int = 64
    most_overlap: float = 0.1

    def applies(self, target: Target) -> bool:
        return target.work_items is not None

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        assert target.work_items is not None
        for stage in find_stages(editor, self.least_length):
            count = self.choose_rows(stage, target.work_items)
            if count is None:
                yield f"{stage.place}: {stage.length} samples stay one-dimensional: too short to cut"
                continue
            Folding(editor, stage, count).rewrite()
            yield f"{stage.place}: {stage.length} samples as {count} row{'s' * (count > 1)}, halo {stage.halo}"

    def choose_rows(self, stage: Stage, work_items: int) -> int | None:
        """As few rows as make enough work items; None if the overlap would then cost more than it gains."""
        blocks = -(-stage.channels // self.channel_block)
        enough = -(-work_items // blocks)
        affordable = int(self.most_overlap * stage.length / (2 * stage.halo)) if stage.halo else enough
        count = max(1, min(enough, affordable))
        return None if count * blocks == 1 and work_items > 1 else count


@dataclass
class Stage:
    """Connected nodes of one length, each local in time. `reach` is how far an edge's wrong value gets at each node."""

    length: int
    nodes: list[fx.Node] = field(default_factory=list)
    reach: dict[fx.Node, int] = field(default_factory=dict)

    @property
    def halo(self) -> int:
        return max(self.reach.values())

    @property
    def channels(self) -> int:
        """Output channels of the widest convolution."""
        return max(node.meta["val"].shape[1] for node in self.nodes if is_convolution(node))

    @property
    def place(self) -> str:
        """The first module of the stage."""
        return next(module_path(node) for node in self.nodes if is_convolution(node))


def find_stages(editor: GraphEditor, least_length: int) -> list[Stage]:
    """The stages of a graph that have at least two convolutions, in order."""
    stage_of: dict[fx.Node, Stage] = {}
    for node in editor.graph.nodes:
        if not is_local(node, editor) or node.meta["val"].shape[TIME] < least_length:
            continue
        length = node.meta["val"].shape[TIME]
        joined = merge([stage_of[source] for source in node.all_input_nodes if source in stage_of], length)
        joined.nodes.append(node)
        for member in joined.nodes:
            stage_of[member] = joined
    stages = list({id(stage): stage for stage in stage_of.values()}.values())
    for stage in stages:
        stage.nodes = sorted(without_entrance(stage.nodes))
        stage.reach = reaches(stage.nodes)
    return [stage for stage in stages if sum(map(is_convolution, stage.nodes)) > 1]


def is_local(node: fx.Node, editor: GraphEditor) -> bool:
    """Whether a node gives [B, C, L] of known size from tensors of that length, each sample from its surroundings."""
    shape = getattr(node.meta.get("val"), "shape", ())
    if node.op != "call_function" or len(shape) != 3 or not all(isinstance(size, int) for size in shape):
        return False
    if is_convolution(node):
        source, _, _, stride, _, _, transposed, *_ = call_arguments(node)
        same_length = source.meta["val"].shape[TIME] == shape[TIME]
        return has_constants(editor, node) and not transposed and list(stride) == [1] and same_length
    if node.target not in ELEMENTWISE:
        return False
    return all(source.meta["val"].shape == shape for source in node.all_input_nodes)


def is_convolution(node: fx.Node) -> bool:
    return node.target is aten.convolution.default


def merge(stages: list[Stage], length: int) -> Stage:
    """One stage with the nodes of all."""
    joined = Stage(length)
    for stage in {id(stage): stage for stage in stages}.values():
        joined.nodes += stage.nodes
    return joined


def without_entrance(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes but for those that join several signals from outside: what they give is one signal to fold, not two."""
    kept = set(nodes)
    for node in sorted(kept):
        outside = [source for source in node.all_input_nodes if source not in kept]
        if not is_convolution(node) and len(outside) > 1 and len(outside) == len(node.all_input_nodes):
            kept.remove(node)
    return kept


def reaches(nodes: list[fx.Node]) -> dict[fx.Node, int]:
    """How far wrong values from the edges get: a convolution that keeps the length looks its padding back and ahead."""
    reach: dict[fx.Node, int] = {}
    for node in nodes:
        so_far = max((reach.get(source, 0) for source in node.all_input_nodes), default=0)
        reach[node] = so_far + (call_arguments(node)[4][0] if is_convolution(node) else 0)
    return reach


class Folding:
    """The rewriting of one stage into rows."""

    def __init__(self, editor: GraphEditor, stage: Stage, count: int) -> None:
        self.editor = editor
        self.stage = stage
        self.rows = Rows.of(stage.length, count, stage.halo)
        self.folded: dict[fx.Node, fx.Node] = {}

    def rewrite(self) -> None:
        for node in self.stage.nodes:
            with self.editor.before(node):
                sources = [self.fold(source) for source in self.signals(node)]
                self.folded[node] = self.call_on_rows(node, sources)
        inside = set(self.stage.nodes)
        for node in self.stage.nodes:
            leaving = [user for user in node.users if user not in inside]
            if leaving:
                with self.editor.before(node.next):
                    joined = self.unfold(self.folded[node], node)
                node.replace_all_uses_with(joined, delete_user_cb=lambda user: user not in inside)
        for node in reversed(self.stage.nodes):
            self.editor.graph.erase_node(node)
        self.editor.modified = True

    def signals(self, node: fx.Node) -> list[fx.Node]:
        return [call_arguments(node)[0]] if is_convolution(node) else node.all_input_nodes

    def call_on_rows(self, node: fx.Node, sources: list[fx.Node]) -> fx.Node:
        call = self.editor.call
        if not is_convolution(node):
            rows_of = dict(zip(node.all_input_nodes, sources, strict=True))
            assert callable(node.target)
            arguments, options = fx.map_arg((node.args, node.kwargs), rows_of.__getitem__)
            return call(node.target, *arguments, **options)
        _, weight, bias, _, padding, dilation, transposed, _, groups = call_arguments(node)
        tensor = self.editor.weight(weight)
        assert tensor is not None
        flat = self.editor.add_weight(f"{self.editor.weight_key(weight)}_rows", tensor.unsqueeze(ROWS))
        geometry = ([1, 1], [0, padding[0]], [1, dilation[0]], transposed, [0, 0], groups)
        return call(aten.convolution.default, sources[0], flat, bias, *geometry)

    def fold(self, signal: fx.Node) -> fx.Node:
        """[B, C, L] -> [B, C, R, W]."""
        if signal not in self.folded:
            call = self.editor.call
            windows = [
                call(aten.slice.Tensor, signal, TIME, start, start + self.rows.width) if self.rows.count > 1 else signal
                for start in self.rows.starts
            ]
            rows = [call(aten.unsqueeze.default, window, ROWS) for window in windows]
            self.folded[signal] = call(aten.cat.default, rows, ROWS) if len(rows) > 1 else rows[0]
        return self.folded[signal]

    def unfold(self, rows: fx.Node, like: fx.Node) -> fx.Node:
        """[B, C, R, W] -> [B, C, L]: of each row the part that is its own."""
        call = self.editor.call
        parts = []
        for row, (first, end) in enumerate(self.rows.own()):
            part = call(aten.slice.Tensor, rows, ROWS, row, row + 1) if self.rows.count > 1 else rows
            part = call(aten.slice.Tensor, part, TIME + 1, first, end)
            parts.append(call(aten.squeeze.dims, part, [ROWS]))
        return call(aten.cat.default, parts, TIME) if len(parts) > 1 else parts[0]
