"""Artifacts that PyTorch stands behind: where one is missing, refused or fails, its component's fallback takes over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import BundleError, MissingRuntimeError, VoxcError
from voxc.compiler.core.needs import missing_module
from voxc.compiler.core.runner import Held, Runner
from voxc.compiler.core.tensor import Array
from voxc.compiler.manifest import ComponentBuild

Outputs = TypeVar("Outputs")

#: What stands in the way of an artifact: voxc's own errors, and what runtimes raise that are installed badly or run out
#: of memory.
FAILURES = (VoxcError, ImportError, OSError, RuntimeError, ValueError, MemoryError)


@dataclass
class Fallbacks:
    """Which components PyTorch has taken over, and why. `warn` is told once, of all that there are by then."""

    warn: Callable[[str], None]
    reasons: dict[str, str] = field(default_factory=dict)
    told: bool = False

    def add(self, component: str, error: BaseException) -> None:
        said = " ".join(str(error).split())
        self.reasons[component] = said if isinstance(error, VoxcError) else f"{type(error).__name__}: {said}"

    def tell(self) -> None:
        if self.reasons and not self.told:
            self.told = True
            causes = "; ".join(dict.fromkeys(self.reasons.values()))
            self.warn(f"PyTorch runs {', '.join(self.reasons)} instead: {causes}")


@dataclass
class BackedRunner(Runner):
    """An artifact until it fails, and from then on the fallback that `open_fallback` gives; both get the same inputs.

    `artifact` is None where it could not even be loaded.
    """

    component: str
    artifact: Runner | None
    open_fallback: Callable[[], Runner]
    fallbacks: Fallbacks
    fallback: Runner | None = None

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self.attempt(lambda runner: runner.run(inputs))

    def hand_on(self, inputs: Mapping[str, Array | Held]) -> Mapping[str, Array | Held]:
        return self.attempt(lambda runner: runner.hand_on(inputs))

    def attempt(self, call: Callable[[Runner], Outputs]) -> Outputs:
        if self.artifact is not None:
            try:
                return call(self.artifact)
            except FAILURES as error:
                self.take_over(error)
                self.fallbacks.tell()
        assert self.fallback is not None
        return call(self.fallback)

    def take_over(self, error: BaseException) -> None:
        """Raises BundleError or MissingRuntimeError if the fallback is no good either."""
        self.artifact = None
        try:
            self.fallback = self.open_fallback()
        except (BundleError, MissingRuntimeError) as second:
            raise type(second)(f"{error}; nor does its fallback run: {second}") from error
        self.fallbacks.add(self.component, error)


def backed(
    component: str, load: Callable[[], Runner], open_fallback: Callable[[], Runner], fallbacks: Fallbacks
) -> Runner:
    """What `load` gives, with a fallback behind it.

    Raises:
        BundleError: neither can be loaded.
    """
    runner = BackedRunner(component, None, open_fallback, fallbacks)
    try:
        runner.artifact = load()
    except FAILURES as error:
        runner.take_over(error)
    return runner


def load_fallback(bundle: Bundle, component: ComponentBuild, threads: int) -> Runner:
    """A component's fallback, on PyTorch.

    Raises:
        BundleError: its files are not those of the manifest, or not what a fallback is.
        MissingRuntimeError: PyTorch is not installed.
    """
    try:
        from voxc.compiler.fallback.network import Fallback
    except ModuleNotFoundError as error:
        raise missing_module(error, f"the fallback of {component.name}") or error from error

    complaints = [complaint for file in component.fallback if (complaint := bundle.complaint(file))]
    if complaints:
        raise BundleError(complaints[0])
    return Fallback.read(bundle.path(component.fallback[0]), component.inputs, component.outputs, threads)
