"""What quantizing each layer alone costs at the output, and what it saves."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict
from torch import fx

from voxc.compiler.precision.layers import LayerClock
from voxc.compiler.precision.subject import Damage, Subject, Walk, output_of
from voxc.compiler.program import Program, module_path

FLOAT32_BYTES = 4
Tick = Callable[[str], None]


class Sensitivity(BaseModel):
    """One layer alone as integers: `noise` is noise power over signal power at the output, `snr` the same in dB,
    `log_mel` a mean distance (natural logarithm) where the output is audio. `float32_ms` and `int8_ms` are the layer by
    itself in the target's runtime, `bytes_saved` is of its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str
    module: str
    operator: str
    noise: float
    snr: float | None
    log_mel: float | None
    float32_ms: float
    int8_ms: float
    bytes_saved: int

    @property
    def saved_ms(self) -> float:
        return self.float32_ms - self.int8_ms


def measure_sensitivities(subject: Subject, clock: LayerClock, tick: Tick) -> tuple[Sensitivity, ...]:
    """Each layer of a subject on the first of its inputs, in the order of the graph.

    A variant of the program is evaluated only from where it differs, on the values that the walk through the program
    has at that point.
    """
    inputs = subject.inputs[0]
    expected = output_of(subject.program, inputs)
    pending = [(name, *first_change(subject, name)) for name in subject.layers]
    walk, found = Walk(subject.program, inputs), {}
    for node in walk.steps():
        for name, variant, starts_at in pending:
            if starts_at == node.name:
                damage = Damage.of(expected, walk.branch(variant()), subject.audio_rate)
                found[name] = damage
                tick(f"layer {len(found)} of {len(pending)}")
    nodes = {node.name: node for node in subject.program.graph.nodes}
    return tuple(row(subject.program, nodes[name], found[name], clock) for name in subject.layers)


def first_change(subject: Subject, name: str) -> tuple[Callable[[], Program], str]:
    """How to make the variant with one layer as integers, and the first node that differs in it."""
    changed = {node for node, precision in subject.precisions([name]).items() if precision == "int8"}
    first = next(node.name for node in subject.program.graph.nodes if node.name in changed)
    return lambda: subject.quantized([name]), first


def row(program: Program, node: fx.Node, damage: Damage, clock: LayerClock) -> Sensitivity:
    time = clock.time(program, node)
    tensors = [program.weight(source) for source in node.all_input_nodes if source.op == "placeholder"]
    weights = [tensor for tensor in tensors if tensor is not None and tensor.dim() > 1]  # a bias is as large
    return Sensitivity(
        node=node.name,
        module=module_path(node),
        operator=str(node.target).removesuffix(".default"),
        noise=damage.noise,
        snr=damage.snr if damage.noise > 0 else None,
        log_mel=damage.log_mel,
        float32_ms=time.float32 * 1e3,
        int8_ms=time.int8 * 1e3,
        bytes_saved=sum((FLOAT32_BYTES - 1) * weight.numel() for weight in weights),
    )
