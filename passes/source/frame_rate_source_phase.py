"""The phase of the harmonic source is summed over frames, not over samples.

    before:  sin(2*pi * cumsum(hold(cycles) - wraps))             hold: each frame repeated for its samples
    after:   start = fraction(sum of hop * cycles over the frames before)
             sin(2*pi * (start[t] + cycles[t] * (i + 1)))         for sample i of frame t

Equal in exact arithmetic, since sin(2*pi*x) does not see whole cycles: terms that are integers everywhere (the
reference's wrap correction) drop out, and the sum over the frames before may lose its integer part. What goes is the
sum over 80,000 samples, which loses precision in float32, and the modulo at sample rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import fx

from voxc.compiler.core.nodes import HasWeights, call_arguments
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor, same_size
from voxc.passes.kit.pattern import Match, Refused, anything, call_to, one_of, rewrite_matches, where
from voxc.passes.kit.rewrite import Rewrite

aten = torch.ops.aten
TURN = 2 * math.pi

Term = fx.Node | float

SINE = call_to(aten.sin.default)
RUNNING_SUM = call_to(aten.cumsum.default, anything("summed"), anything("axis"))
TURNED_SUM = call_to(
    aten.mul.Tensor,
    RUNNING_SUM,
    where(lambda factor: isinstance(factor, float) and math.isclose(factor, TURN)),
    commutative=True,
)
#: Each frame repeated in place.
HELD = call_to(
    aten.view.default,
    call_to(
        aten.expand.default,
        call_to(aten.unsqueeze.default, anything("frames"), one_of(2, -1)),
        name="repeated",
        through=frozenset({aten.clone.default}),
    ),
    anything("shape"),
)
MODULO_ONE = call_to(aten.remainder.Scalar, anything("frames"), 1)


@dataclass(frozen=True)
class Hold:
    """A frame-rate signal `frames` [B, T], each element repeated `hop` times, viewed as `shape` = [B, T * hop, 1]."""

    frames: fx.Node
    hop: int
    shape: Any


@dataclass(frozen=True)
class FrameRateSourcePhase(Rewrite):
    """Rewrites the sine of a sample-rate running sum of a frame-rate signal [B, T] into frame-rate sums."""

    after: ClassVar[tuple[str, ...]] = ("hoist_noise",)
    tolerance: ClassVar[float] = 5e-3  # the float32 sum over samples is what is off, not the result

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        def check(match: Match) -> Hold:
            return hold_of(editor, match.node)

        def rewrite(match: Match, held: Hold) -> str:
            match.node.update_arg(0, phase_of(editor, held))
            return f"phase summed once for every {held.hop} samples"

        yield from rewrite_matches(editor, SINE, check, rewrite, refusal="the phase stays at sample rate")

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        self.expect_none_left(after, SINE, lambda match: hold_of(after, match.node))


def hold_of(graph: HasWeights, sine: fx.Node) -> Hold:
    """The held cycles per sample whose running sum a sine is of.

    A modulo by one on the frames goes: it changes each sample's phase by whole cycles.

    Raises:
        Refused: it is no such sine.
    """
    total = TURNED_SUM.match(graph, call_arguments(sine)[0])
    if total is None:
        raise Refused("its argument is not 2*pi times a running sum")
    if total["axis"] not in (1, -2) or total["summed"].meta["val"].dim() != 3:
        raise Refused("the sum does not run over the samples of [B, samples, 1]")
    terms = [term for term in addends(total["summed"]) if not is_whole(term)]
    if len(terms) != 1:
        raise Refused(f"{len(terms)} terms of the sum are not whole numbers")
    held = HELD.match(graph, terms[0])
    if held is None or not is_column(held):
        raise Refused("the summed signal is not a frame-rate signal held for whole frames")
    modulo = MODULO_ONE.match(graph, held["frames"])
    frames = modulo["frames"] if modulo else held["frames"]
    return Hold(frames, held["repeated"].meta["val"].shape[2], held["shape"])


def is_column(held: Match) -> bool:
    """Whether frames [B, T] are held as [B, T * hop, 1]."""
    _, length, hop = held["repeated"].meta["val"].shape
    _, samples, *rest = held.node.meta["val"].shape
    whole = isinstance(hop, int) and rest == [1] and same_size(samples, length * hop)
    return whole and held["frames"].meta["val"].dim() == 2


def addends(node: Term) -> list[Term]:
    """The terms of a sum; a whole number that is taken off counts as one, for its sign does not matter."""
    if isinstance(node, fx.Node) and node.target in (aten.add.Tensor, aten.sub.Tensor):
        left, right, scale = call_arguments(node)
        if scale == 1 and (node.target is aten.add.Tensor or is_whole(right)):
            return addends(left) + addends(right)
    return [node]


def is_whole(term: Term) -> bool:
    """Whether every element is provably an integer."""
    if not isinstance(term, fx.Node):
        return float(term).is_integer()
    if not term.meta["val"].dtype.is_floating_point:
        return True
    if term.target not in WHOLE_IF_SOURCES_ARE:
        return False
    numbers = [argument for argument in call_arguments(term)[1:] if isinstance(argument, float)]
    terms: list[Term] = [*term.all_input_nodes, *numbers]
    return all(is_whole(each) for each in terms)


WHOLE_IF_SOURCES_ARE = frozenset(
    {
        aten._to_copy.default, aten.clone.default, aten.constant_pad_nd.default, aten.slice.Tensor, aten.cat.default,
        aten.unsqueeze.default, aten.neg.default, aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor,
    }
)  # fmt: skip


def phase_of(editor: GraphEditor, held: Hold) -> fx.Node:
    """2*pi * phase at each sample, [B, T * hop, 1]."""
    call = editor.call
    steps = editor.add_weight("source_phase_steps", torch.arange(1, held.hop + 1, dtype=torch.float32))
    start = call(aten.unsqueeze.default, frame_starts(editor, held), 2)
    ramp = call(aten.mul.Tensor, call(aten.unsqueeze.default, held.frames, 2), steps)
    turned = call(aten.mul.Tensor, call(aten.add.Tensor, start, ramp), TURN)
    return call(aten.view.default, turned, held.shape)


def frame_starts(editor: GraphEditor, held: Hold) -> fx.Node:
    """Phase at the start of each frame in cycles, near [0, 1): [B, T].

    A plain float32 sum of what frames add drifts audibly in half a minute of steady pitch (SNR 25 dB). So what a frame
    adds is cut into three numbers of few bits, whose sums are exact for 20 s and more (SNR 119 dB).
    """
    call = editor.call

    def less(x: fx.Node, y: fx.Node) -> fx.Node:
        return call(aten.sub.Tensor, x, y)

    def summed_before(x: fx.Node) -> fx.Node:
        return less(call(aten.cumsum.default, x, 1), x)

    coarse_cycles = rounded(editor, held.frames, 2.0**14)
    coarse = call(aten.mul.Tensor, coarse_cycles, float(held.hop))
    rest = call(aten.mul.Tensor, less(held.frames, coarse_cycles), float(held.hop))
    fine = rounded(editor, rest, 2.0**18)
    parts = [
        fraction(editor, summed_before(less(coarse, rounded(editor, coarse, 1.0)))),
        fraction(editor, summed_before(fine)),
        summed_before(less(rest, fine)),
    ]
    return call(aten.add.Tensor, call(aten.add.Tensor, parts[0], parts[1]), parts[2])


def rounded(editor: GraphEditor, x: fx.Node, scale: float) -> fx.Node:
    """x to the nearest multiple of 1/scale, by floor, which every target has."""
    half_up = editor.call(aten.add.Tensor, editor.call(aten.mul.Tensor, x, scale), 0.5)
    return editor.call(aten.mul.Tensor, editor.call(aten.floor.default, half_up), 1 / scale)


def fraction(editor: GraphEditor, x: fx.Node) -> fx.Node:
    return editor.call(aten.sub.Tensor, x, editor.call(aten.floor.default, x))
