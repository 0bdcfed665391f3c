"""What a pass is, and the checks that every pass gets for nothing."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from torch import fx
from torch._export.verifier import SpecViolationError

from voxc.compiler.core.errors import PassError
from voxc.compiler.core.program import PassRecord, Program
from voxc.compiler.core.target import Target
from voxc.compiler.core.tensor import TensorSpec


@dataclass(frozen=True)
class PassResult:
    """A pass's program, whether it differs from the one that came in, and what people should know about it."""

    program: Program
    modified: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pass(ABC):
    """A rewriting of one program for one target. Its fields are its options.

    Subclasses write `run`, which must not change the program it is given, and may write `applies`, `requires` and
    `ensures`.
    """

    #: Names of the passes that must come earlier in any pipeline that has both.
    after: ClassVar[tuple[str, ...]] = ()
    #: Names of the passes that a plug-in's pass has to come before.
    before: ClassVar[tuple[str, ...]] = ()
    #: Whether inputs may be added. Everything else about inputs and outputs always survives.
    adds_inputs: ClassVar[bool] = False
    #: Largest absolute difference at the outputs that the pass may cause. The default is float32 rounding through
    #: a whole vocoder: even a copy that goes can make PyTorch choose another kernel, which sums in another order.
    tolerance: ClassVar[float] = 1e-5
    #: For passes that round on purpose, in place of `tolerance`: the least signal-to-noise ratio in dB of an output to
    #: what it was.
    least_snr: ClassVar[float | None] = None

    @property
    def name(self) -> str:
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def applies(self, target: Target) -> bool:
        """Whether the pass has anything to do for a target, whatever the program."""
        return True

    @abstractmethod
    def run(self, program: Program, target: Target) -> PassResult:
        """The rewriting itself."""

    def requires(self, program: Program, target: Target) -> None:  # noqa: B027, most passes have nothing to ask
        """Raises PassError if `program` is not one that this pass can work on."""

    def ensures(self, before: Program, after: Program, target: Target) -> None:  # noqa: B027
        """Raises PassError if the result lacks what this pass promises. Not called where the pass does not apply."""

    @final
    def __call__(self, program: Program, target: Target) -> PassResult:
        """Runs the pass between its checks and adds it to the program's history; where it does not apply, the program
        stays the same.

        Raises:
            PassError: a check failed; the message names the pass.
        """
        self.requires(program, target)
        started = time.perf_counter()
        result = self.checked_run(program, target) if self.applies(target) else PassResult(program, modified=False)
        seconds = time.perf_counter() - started
        record = PassRecord(self.name, result.modified, result.notes, seconds)
        return replace(result, program=replace(result.program, history=(*program.history, record)))

    def checked_run(self, program: Program, target: Target) -> PassResult:
        try:
            result = self.run(program, target)
            result.program.graph.lint()
        except (SpecViolationError, RuntimeError) as error:  # an ExportedProgram checks itself when it is made
            raise PassError(f"{self.name} left a broken graph in {program.name}: {error}") from error
        self.check_interface(program, result.program)
        self.ensures(program, result.program, target)
        return result

    def check_interface(self, before: Program, after: Program) -> None:
        kept = after.inputs[: len(before.inputs)]
        added = after.inputs[len(before.inputs) :]
        if kept != before.inputs or after.outputs != before.outputs or (added and not self.adds_inputs):
            raise PassError(f"{self.name} changed the inputs or outputs of {before.name}")
        placeholders = [node for node in after.graph.nodes if node.op == "placeholder"]
        inputs = [node for node in placeholders if after.weight_key(node) is None]
        for specs, nodes in ((after.inputs, inputs), (after.outputs, after.results)):
            if len(specs) != len(nodes) or not all(map(describes, specs, nodes)):
                raise PassError(f"{self.name} left {before.name} with inputs or outputs that its specs do not describe")


def describes(spec: TensorSpec, node: fx.Node) -> bool:
    """Whether the graph's own dtype and sizes are those of a spec; a symbolic size is only seen to be symbolic."""
    value = node.meta["val"]
    return str(value.dtype) == f"torch.{spec.dtype}" and len(spec.shape) == value.dim() and all(
        size == actual if isinstance(size, int) else isinstance(actual, torch.SymInt)
        for size, actual in zip(spec.shape, value.shape, strict=True)
    )  # fmt: skip
