"""What quantizing each layer alone costs at the output, and what it saves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict
from torch import fx

from voxc.compiler.core.cost import macs_of
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.program import Program
from voxc.compiler.precision.clocks import Clock
from voxc.compiler.precision.subject import Damage, Subject, Walk, output_of

FLOAT32_BYTES = 4
Tick = Callable[[str], None]


class Sensitivity(BaseModel):
    """One layer alone as integers: `noise` is noise power over signal power at the output, `snr` the same in dB,
    `log_mel` a mean distance (natural logarithm) where the output is audio; all None if nobody had to know. `float_ms`
    and `int8_ms` are the layer by itself, in the target's floats and as integers, where seconds are known; `macs` are
    its multiply-accumulates, `bytes_saved` is of its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str
    module: str
    operator: str
    noise: float | None = None
    snr: float | None = None
    log_mel: float | None = None
    float_ms: float | None
    int8_ms: float | None
    macs: int
    bytes_saved: int

    @property
    def gain(self) -> float:
        """What integers save: milliseconds, or where nobody knows these, multiply-accumulates in floats."""
        return self.macs if self.float_ms is None or self.int8_ms is None else self.float_ms - self.int8_ms


def time_layers(subject: Subject, clock: Clock, tick: Tick) -> tuple[Sensitivity, ...]:
    """Each layer of a subject with what it saves, in the order of the graph; its noise is not known yet."""
    nodes = {node.name: node for node in subject.program.graph.nodes}
    rows = []
    for name in subject.layers:
        rows.append(row(subject.program, nodes[name], clock))
        tick(f"layer {len(rows)} of {len(subject.layers)} timed")
    return tuple(rows)


def measure_noise(subject: Subject, layers: Sequence[Sensitivity], tick: Tick) -> tuple[Sensitivity, ...]:
    """The same layers with their noise on the first of a subject's inputs.

    A variant of the program is evaluated only from where it differs, on the values that the walk through the program
    has at that point.
    """
    inputs = subject.inputs[0]
    expected = output_of(subject.program, inputs)
    pending = [(layer.node, *first_change(subject, layer.node)) for layer in layers]
    walk, found = Walk(subject.program, inputs), {}
    for node in walk.steps():
        for name, variant, starts_at in pending:
            if starts_at == node.name:
                damage = Damage.of(expected, walk.branch(variant()), subject.audio_rate)
                found[name] = damage
                tick(f"layer {len(found)} of {len(pending)}")
    return tuple(with_noise(layer, found[layer.node]) for layer in layers)


def with_noise(layer: Sensitivity, damage: Damage) -> Sensitivity:
    snr = damage.snr if damage.noise > 0 else None
    return layer.model_copy(update={"noise": damage.noise, "snr": snr, "log_mel": damage.log_mel})


def first_change(subject: Subject, name: str) -> tuple[Callable[[], Program], str]:
    """How to make the variant with one layer as integers, and the first node that differs in it."""
    changed = {node for node, precision in subject.precisions([name]).items() if precision == "int8"}
    first = next(node.name for node in subject.program.graph.nodes if node.name in changed)
    return lambda: subject.quantized([name]), first


def row(program: Program, node: fx.Node, clock: Clock) -> Sensitivity:
    time = clock.time(program, node)
    tensors = [program.weight(source) for source in node.all_input_nodes if source.op == "placeholder"]
    weights = [tensor for tensor in tensors if tensor is not None and tensor.dim() > 1]  # a bias is as large
    return Sensitivity(
        node=node.name,
        module=module_path(node),
        operator=str(node.target).removesuffix(".default"),
        float_ms=None if time is None else time.floats * 1e3,
        int8_ms=None if time is None else time.int8 * 1e3,
        macs=macs_of(node),
        bytes_saved=sum((FLOAT32_BYTES - 1) * weight.numel() for weight in weights),
    )
