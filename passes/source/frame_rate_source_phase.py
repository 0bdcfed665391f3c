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
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import fx

from voxc.compiler.core.nodes import call_arguments, module_path
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.kit.graph_editor import GraphEditor, same_size

aten = torch.ops.aten
TURN = 2 * math.pi

Term = fx.Node | float


@dataclass(frozen=True)
class Hold:
    """A frame-rate signal `frames` [B, T], each element repeated `hop` times, viewed as `shape` = [B, T * hop, 1]."""

    frames: fx.Node
    hop: int
    shape: Any


@dataclass(frozen=True)
class FrameRateSourcePhase(Pass):
    """Rewrites the sine of a sample-rate running sum of a frame-rate signal [B, T] into frame-rate sums."""

    after: ClassVar[tuple[str, ...]] = ("hoist_noise",)
    tolerance: ClassVar[float] = 5e-3  # the float32 sum over samples is what is off, not the result

    def run(self, program: Program, target: Target) -> PassResult:
        editor = GraphEditor(program)
        notes = []
        for sine in editor.calls(aten.sin.default):
            where = module_path(sine) or sine.name
            match = match_phase(sine)
            if isinstance(match, str):
                notes.append(f"{where}: the phase stays at sample rate: {match}")
                continue
            with editor.before(sine):
                sine.update_arg(0, phase_of(editor, match))
            editor.modified = True
            notes.append(f"{where}: phase summed once for every {match.hop} samples")
        return PassResult(editor.finish() if editor.modified else program, editor.modified, tuple(notes))


def match_phase(sine: fx.Node) -> Hold | str:
    """The held cycles per sample whose running sum the sine is of; or why it is no such sine."""
    (angle,) = call_arguments(sine)
    total = scaled_by_turn(angle)
    if total is None or total.target is not aten.cumsum.default:
        return "its argument is not 2*pi times a running sum"
    summed, dim, _ = call_arguments(total)
    if dim not in (1, -2) or summed.meta["val"].dim() != 3:
        return "the sum does not run over the samples of [B, samples, 1]"
    terms = [term for term in addends(summed) if not is_whole(term)]
    if len(terms) != 1:
        return f"{len(terms)} terms of the sum are not whole numbers"
    return match_hold(terms[0]) or "the summed signal is not a frame-rate signal held for whole frames"


def scaled_by_turn(node: fx.Node) -> fx.Node | None:
    """x, if `node` is 2*pi * x."""
    if node.target is not aten.mul.Tensor:
        return None
    left, right = call_arguments(node)
    for value, factor in ((left, right), (right, left)):
        if isinstance(factor, float) and math.isclose(factor, TURN):
            return value
    return None


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


def match_hold(node: Term) -> Hold | None:
    """What `node` holds, if it repeats each frame in place: view(expand(unsqueeze(frames, 2))).

    A modulo by one on the frames goes too: it changes each sample's phase by whole cycles.
    """
    if not isinstance(node, fx.Node) or node.target is not aten.view.default:
        return None
    repeated, shape = call_arguments(node)
    while repeated.target is aten.clone.default:
        repeated = call_arguments(repeated)[0]
    if repeated.target is not aten.expand.default:
        return None
    column = call_arguments(repeated)[0]
    if column.target is not aten.unsqueeze.default or call_arguments(column)[1] not in (2, -1):
        return None
    frames = call_arguments(column)[0]
    _, length, hop = repeated.meta["val"].shape
    _, samples, *rest = node.meta["val"].shape
    if frames.meta["val"].dim() != 2 or not isinstance(hop, int) or rest != [1] or not same_size(samples, length * hop):
        return None
    if frames.target is aten.remainder.Scalar and call_arguments(frames)[1] == 1:
        frames = call_arguments(frames)[0]
    return Hold(frames, hop, shape)


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
