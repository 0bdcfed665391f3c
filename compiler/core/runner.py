"""What backends make of a program, and what runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from voxc.compiler.core.needs import COMPILE

if TYPE_CHECKING:  # completing the names of targets needs no NumPy
    from voxc.compiler.core.figure import Evidence
    from voxc.compiler.core.tensor import Array


@dataclass(frozen=True)
class Requirement:
    """A package that a backend needs, and what to install for it."""

    package: str
    install: str

    @property
    def version(self) -> str | None:
        """The installed version, None if there is none."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None


TORCH, ONNX, ONNXSIM = (Requirement(package, COMPILE) for package in ("torch", "onnx", "onnxsim"))


@dataclass(frozen=True)
class Artifact:
    """What a backend made of a program: a format and its files, the main one first.

    `operators` counts the operators in the file by type and by what they compute in, as `{"CONV_2D": {"int8": 72,
    "fp32": 3}}`. `oldest_runtime` is the first release of the runtime that has all of them, where that is known.
    """

    format: str
    files: tuple[Path, ...]
    operators: Mapping[str, Mapping[str, int]]
    oldest_runtime: str | None = None


@dataclass(frozen=True)
class Runtime:
    """What runs artifacts on this machine, in words for people, and what its numbers are evidence of."""

    description: str
    evidence: Evidence


@dataclass(frozen=True)
class Placement:
    """One operator of an artifact: where it is expected to run, and where that is not the best place, why and what
    would fix it. `macs` are its multiply-accumulates, `rule` is the key of the rule that says why. `generations` is
    where it is expected to run by generation of the hardware, if rules tell them apart; `where` is that of the first.
    `sources` say what the rule rests on, for people.
    """

    name: str
    op: str
    where: str
    why: str
    fix: str
    macs: int
    rule: str = ""
    generations: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fit:
    """The most frames of a segment that a target's memory holds, no more than were asked about and 0 if there are none;
    and the arithmetic, for people."""

    frames: int
    arithmetic: str


class Held(Protocol):
    """A tensor that a runtime holds, where NumPy does not see it; `np.asarray` gives a copy that it does."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array: ...


class Runner(ABC):
    """An artifact in its runtime."""

    @abstractmethod
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name for inputs by name; both as the component's specs describe them.

        Raises:
            TensorError: the runtime could not run these inputs.
        """

    def hand_on(self, inputs: Mapping[str, Array | Held]) -> Mapping[str, Array | Held]:
        """What `run` gives, for the runner that comes next: outputs may stay where they are, as those of an earlier one
        may among the inputs. They are complete.

        Raises:
            TensorError: the runtime could not run these inputs.
        """
        import numpy as np

        return self.run({name: np.asarray(value) for name, value in inputs.items()})


@dataclass(frozen=True)
class Rehearsal:
    """An artifact that computes as coarsely as its device is expected to, and what makes it do so."""

    runner: Runner
    runtime: Runtime
