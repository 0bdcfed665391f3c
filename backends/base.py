"""What a backend is: it checks, emits and, where the runtime is here, runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from voxc.compiler.core.errors import MissingRuntimeError, TargetError, UnsupportedError
from voxc.compiler.core.runner import Artifact, Fit, Placement, Rehearsal, Requirement, Runner, Runtime

if TYPE_CHECKING:  # listing targets and running bundles need no PyTorch
    from torch import fx

    from voxc.backends.lowering.table import Lowerings
    from voxc.compiler.core.program import Program
    from voxc.compiler.core.target import Target
    from voxc.compiler.manifest import TargetRecord


class BackendOptions(BaseModel):
    """What a backend alone has to know of a target: its `options` in targets.yaml. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Backend(ABC):
    """One way of lowering programs. Has no state but the options of a target; SDKs are imported inside the methods that
    need them."""

    name: ClassVar[str]
    kit: ClassVar[bool] = False  # whether the device itself has to finish what is emitted
    emit_needs: ClassVar[tuple[Requirement, ...]]
    run_needs: ClassVar[tuple[Requirement, ...]]
    #: Modules that the agent takes to devices, in Python 3.6; a package stands for the modules in it. The first has the
    #: backend's `RUNTIME` (`voxc.compiler.device.agent.runtime`). Empty where no device runs the artifacts.
    device_modules: ClassVar[tuple[str, ...]] = ()
    #: The targets that a plug-in brings, in a file like targets.yaml.
    targets_file: ClassVar[Path | None] = None
    Options: ClassVar[type[BackendOptions]] = BackendOptions

    def on(self, options: Mapping[str, JsonValue]) -> Backend:
        """The backend as a target's `options` want it.

        Raises:
            TargetError: an option is unknown or has a wrong value.
        """
        try:
            return self.configured(self.Options.model_validate(dict(options)))
        except ValidationError as error:
            from voxc.compiler.core.target import first_complaint

            raise TargetError(f"{self.name}: options: {first_complaint(error)}") from error

    def configured(self, options: Any) -> Backend:
        """The backend by its own options; itself where it has none."""
        return self

    @abstractmethod
    def lowerings(self) -> Lowerings:
        """The lowerings by the calls that they are for.

        Raises:
            MissingRuntimeError: a package that they need is not installed.
        """

    def unsupported(self, program: Program) -> list[fx.Node]:
        """The nodes that there is no lowering for."""
        from voxc.backends.lowering.table import unsupported

        return unsupported(program, self.lowerings())

    def check(self, program: Program, target: Target) -> None:
        """Raises UnsupportedError if the target cannot take the program; names the first call that has no lowering, and
        the other operators."""
        nodes = self.unsupported(program)
        if nodes:
            from voxc.backends.lowering.source import operator_name, place

            others = sorted({operator_name(node) for node in nodes} - {operator_name(nodes[0])})
            raise UnsupportedError(
                f"{target.name}: {self.name} has no lowering for {place(nodes[0], program.name)}"
                f"{', nor for ' + ', '.join(others) if others else ''} in component {program.name}; "
                f"write the module with other operators, or choose another target"
            )

    @abstractmethod
    def emit(self, program: Program, target: Target, directory: Path, lengths: Sequence[Program] = ()) -> Artifact:
        """Writes the artifact into `directory`; it takes segments of the further `lengths` too, which only targets that
        take several are asked for."""

    @abstractmethod
    def load(self, file: Path, threads: int) -> Runner:
        """An artifact, by its main file, in its runtime.

        Raises:
            BundleError: the runtime refuses the file.
        """

    def rehearse(self, file: Path, threads: int) -> Rehearsal | None:
        """An artifact, by its main file, as its device will compute it, as far as that is known; None where what `load`
        gives computes no finer than that."""
        return None

    def runtime(self) -> Runtime:
        """What `load` runs artifacts in here."""
        return Runtime(", ".join(f"{need.package} {need.version or '(missing)'}" for need in self.run_needs), "host")

    def explain(self, file: Path, target: TargetRecord) -> tuple[Placement, ...]:
        """Where the operators of an artifact, by its main file, are expected to run.

        Raises:
            UnsupportedError: there are no rules for that.
        """
        raise UnsupportedError(f"{target.name}: {self.name} has no rules for where operators run")

    def fit(self, programs: Sequence[Program], target: Target, frames: int, step: int) -> Fit | None:
        """How long a segment of the voice, whose components' programs for `frames` are given, may be in the target's
        memory; a multiple of `step`. None where that is no question."""
        return None

    def require(self, needs: tuple[Requirement, ...], purpose: str) -> None:
        """Raises MissingRuntimeError if something in `needs` is not installed."""
        missing = [need for need in needs if need.version is None]
        if missing:
            told = ", ".join(f"{need.package} ({need.install})" for need in missing)
            raise MissingRuntimeError(f"{self.name}: to {purpose}, install {told}")
