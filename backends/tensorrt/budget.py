"""What a voice takes of a board's memory: told before an engine is built, by arithmetic that can be checked.

While the engine of a component is built there are its weights as the ONNX file has them (float32, also those that a kit
stores in 8 bits), twice its weights as the engine has them (in the network and in the serialized plan), its
activations, and a workspace in which tactics are tried. While a voice runs there are the engines and the activations of
all components. The system, and the libraries of CUDA and TensorRT, are there all the time; a board shares its memory
with them.

Activations are those that are alive at once in the order of the graph, in what the plan says they are held in. TensorRT
fuses operators and so needs fewer; an estimate, therefore, and on the safe side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import fx

from voxc.compiler.core.cost import ACTIVATION_BYTES, VIEWS, arithmetic_of, held, tensors_of, weight_width
from voxc.compiler.core.nodes import is_weight
from voxc.compiler.core.program import Program
from voxc.compiler.core.runner import Fit
from voxc.compiler.core.target import Target

MIB = 1 << 20
#: What JetPack's desktop takes with nobody at it, and what CUDA's context and the libraries of CUDA, cuDNN, cuBLAS and
#: TensorRT take in a process. Assumed, not measured: boards differ with what else is installed.
SYSTEM_MIB, LIBRARIES_MIB = 1024, 768
#: The least that tactics are to be tried in, and the share of the memory that they are given at most, as by the agent.
LEAST_WORKSPACE_MIB, WORKSPACE_SHARE = 128, 4


@dataclass(frozen=True)
class Need:
    """Whole MiB of one component: weights as the ONNX file stores them, weights as the engine does, activations."""

    component: str
    stored: int
    engine: int
    activations: int

    @classmethod
    def of(cls, program: Program, target: Target) -> Need:
        stored, engine = weight_bytes(program, target)
        return cls(program.name, mib(stored), mib(engine), mib(peak_activations(program, target)))

    @property
    def building(self) -> int:
        """While its engine is built, the workspace aside."""
        return self.stored + 2 * self.engine + self.activations

    @property
    def running(self) -> int:
        return self.engine + self.activations


@dataclass(frozen=True)
class Budget:
    """The needs of all components for segments of `frames`, and the memory in MiB that they have to fit into."""

    target: str
    memory: int
    frames: int
    needs: tuple[Need, ...]

    @property
    def free(self) -> int:
        """What is left for a voice."""
        return self.memory - SYSTEM_MIB - LIBRARIES_MIB

    @property
    def largest(self) -> Need:
        """The component that takes the most to build."""
        return max(self.needs, key=lambda need: need.building)

    @property
    def running(self) -> int:
        return sum(need.running for need in self.needs)

    @property
    def workspace(self) -> int:
        """What the builder may try tactics in, MiB: what is left, within bounds."""
        return max(min(self.free - self.largest.building, self.memory // WORKSPACE_SHARE), LEAST_WORKSPACE_MIB)

    @property
    def fits(self) -> bool:
        return max(self.largest.building + self.workspace, self.running) <= self.free

    def longest(self, step: int) -> int:
        """The most frames, a multiple of `step` and at most as many as now, that fit; 0 if none do.

        Activations are taken to shrink in proportion; those of attention shrink faster.
        """
        activations = sum(need.activations for need in self.needs)
        shares = [1.0, (self.free - self.running + activations) / activations]
        for need in self.needs:
            left = self.free - LEAST_WORKSPACE_MIB - need.building + need.activations
            shares.append(left / need.activations)
        return max(int(min(shares) * self.frames) // step * step, 0)

    @property
    def arithmetic(self) -> str:
        """The sums, in MiB."""
        largest, base = self.largest, f"{SYSTEM_MIB} system + {LIBRARIES_MIB} libraries"
        taken = self.memory - self.free
        each = " + ".join(
            f"{need.component} ({need.engine} weights + {need.activations} activations)" for need in self.needs
        )
        return (
            f"memory in MiB for {self.frames} frames on {self.target}, estimated: building {largest.component}: {base} "
            f"+ {largest.stored} ONNX weights + 2 * {largest.engine} engine weights + {largest.activations} "
            f"activations + {self.workspace} workspace = {taken + largest.building + self.workspace}; "
            f"running: {base} + {each} = {taken + self.running}; of {self.memory}"
        )

    def fit(self, step: int) -> Fit:
        return Fit(self.frames if self.fits else self.longest(step), self.arithmetic)


def budget_of(programs: Sequence[Program], target: Target, frames: int) -> Budget | None:
    """The budget of a voice by its programs' plans; None for a target whose memory is not known. `frames` are those of
    the voice's segment."""
    if target.memory_mib is None:
        return None
    return Budget(target.name, target.memory_mib, frames, tuple(Need.of(program, target) for program in programs))


def weight_bytes(program: Program, target: Target) -> tuple[float, float]:
    """The weights as they are stored, and as the plan wants them; a weight of several nodes takes the widest."""
    stored = engine = 0.0
    for node in program.graph.nodes:
        tensor = program.weight(node) if node.op == "placeholder" else None
        if tensor is not None and node.users:
            stored += tensor.nbytes
            wanted = {program.plan.precision(user.name) for user in node.users}
            engine += held(tensor, max(weight_width(precision, target) for precision in wanted))
    return stored, engine


def peak_activations(program: Program, target: Target) -> float:
    """The most bytes of activations that are alive at once; inputs are the caller's, and stay."""
    nodes = list(program.graph.nodes)
    last: dict[fx.Node, int] = {}
    for number, node in enumerate(nodes):
        for given in node.all_input_nodes:
            last[storage(given)] = number
    ending: dict[int, float] = {}
    alive = most = 0.0
    for number, node in enumerate(nodes):
        if storage(node) is node and not is_weight(program, node):
            size = activation_bytes(program, node, target)
            alive += size
            end = len(nodes) - 1 if node.op == "placeholder" else last.get(node, number)
            ending[end] = ending.get(end, 0.0) + size
        most = max(most, alive)
        alive -= ending.pop(number, 0.0)
    return most


def storage(node: fx.Node) -> fx.Node:
    """The node whose memory a node's tensor lies in: for a view, that of what it views."""
    while node.op == "call_function" and node.target in VIEWS and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return node


def activation_bytes(program: Program, node: fx.Node, target: Target) -> float:
    """What a node gives, inputs in float32."""
    if node.op == "output":
        return 0.0
    precision = "fp32" if node.op == "placeholder" else program.plan.precision(node.name)
    return sum(held(tensor, ACTIVATION_BYTES[arithmetic_of(precision, target)]) for tensor in tensors_of(node))


def mib(size: float) -> int:
    """Bytes in whole MiB, rounded up, and one at least."""
    return max(int(-(-size // MIB)), 1)
