"""`voxc measure`: a bundle to a machine, the agent run there, its document into the manifest."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

from voxc.compiler.bundle import Bundle
from voxc.compiler.core import interrupt
from voxc.compiler.core.errors import BundleError, DeviceError, MissingRuntimeError, OutputError, RecipeError
from voxc.compiler.device.address import Address
from voxc.compiler.device.engines import FOLDER, Engines, bring_engines, listed_engines, remove_unlisted
from voxc.compiler.device.here import this_machine
from voxc.compiler.device.merge import device_run, failures, merged
from voxc.compiler.device.pack import ship_agent
from voxc.compiler.device.process import Deadline, watch
from voxc.compiler.device.report import AgentReport, read_answer
from voxc.compiler.device.ssh import connect
from voxc.compiler.manifest import MANIFEST_NAME, DeviceRun, Manifest, read_manifest, write_manifest

REMOTE_PYTHON = "python3"

Report = Callable[[str], None]


class Device(Protocol):
    """A machine with a temporary directory on it."""

    @property
    def name(self) -> str: ...

    @property
    def directory(self) -> str: ...

    def send(self, agent: Path, bundle: Path, files: Sequence[str], tell: Callable[[str], None]) -> tuple[str, str]:
        """Brings the agent there, and `files` of the bundle; gives the paths of both."""

    def command(self, arguments: Sequence[str]) -> list[str]:
        """What runs a program there, as a command of this machine."""

    def fetch(self, name: str, stream: IO[bytes], size: int, tell: Callable[[str], None]) -> None:
        """See `bring_engines`."""


@dataclass(frozen=True)
class MeasureOptions:
    """What `voxc measure` was asked for. `on` is an address, None this machine; `limit` is in seconds; what is None
    or empty is left to the target."""

    on: str | None = None
    python: str | None = None
    components: tuple[str, ...] = ()
    threads: int | None = None
    compute_units: str | None = None
    runs: int = 100
    seconds: float = 10.0
    limit: float = 3600.0
    ssh_config: Path | None = None

    def check(self) -> None:
        """Raises RecipeError."""
        for name, value, least in (
            ("threads", self.threads, 1), ("runs", self.runs, 1), ("seconds", self.seconds, 0), ("limit", self.limit, 1)
        ):  # fmt: skip
            if value is not None and not value >= least:
                raise RecipeError(f"--{name} {value:g}: must be at least {least}")
        if self.ssh_config is not None and self.on is None:
            raise RecipeError("--ssh-config: is for --on")

    @property
    def interpreter(self) -> str:
        return self.python or (sys.executable if self.on is None else REMOTE_PYTHON)

    def open(self, deadline: Deadline) -> AbstractContextManager[Device]:
        """The machine to measure on."""
        if self.on is None:
            return this_machine()
        return connect(Address.parse(self.on), self.ssh_config, deadline)

    @property
    def arguments(self) -> list[str]:
        """The agent's options."""
        given = {
            "--threads": self.threads, "--compute-units": self.compute_units, "--runs": self.runs,
            "--seconds": self.seconds,
        }  # fmt: skip
        return [
            *(f"--component={name}" for name in self.components),
            *(f"{name}={value}" for name, value in given.items() if value is not None),
        ]


@dataclass(frozen=True)
class Measured:
    """What came of it: `failures` are outputs that differ too much, and then the manifest is as it was."""

    run: DeviceRun
    manifest: Manifest
    failures: tuple[str, ...]


def measure_bundle(directory: Path, options: MeasureOptions, report: Report = lambda message: None) -> Measured:
    """Runs, compares and times a bundle's components, and merges what was found into its manifest.

    Raises:
        VoxcError: see `read_answer`, `connect` and `Bundle`; then the manifest is as it was.
    """
    options.check()
    bundle = Bundle.open(directory)
    for name in options.components:
        bundle.manifest.component(name)
    files = needed_files(bundle, options.components, report)
    answer, engines = ask_agent(bundle, files, options, report)
    try:
        run = device_run(bundle.manifest, answer, datetime.now(UTC).isoformat(timespec="seconds"), engines)
        failed = tuple(failures(bundle.manifest, answer))
        manifest = bundle.manifest if failed else merge_into(bundle, run)
    except BaseException:
        remove_unlisted(directory, bundle.manifest, engines.values())
        raise
    for before in listed_engines(bundle.manifest).values():
        remove_unlisted(directory, manifest, before)
    return Measured(run, manifest, failed)


def needed_files(bundle: Bundle, components: Sequence[str], report: Report) -> list[str]:
    """What the agent needs of the bundle, all of it if there are no `components`.

    Raises:
        BundleError: a file is missing, or not the one that the manifest lists.
    """
    manifest = bundle.manifest
    chosen = [component for component in manifest.build.components if not components or component.name in components]
    needed = [manifest.measurements.reference, *(file for component in chosen for file in component.files)]
    for file in needed:
        report(f"checking the bundle, {file.path}")
        complaint = bundle.complaint(file)
        if complaint:
            raise BundleError(complaint)
    engines = listed_engines(manifest)
    built = [engine.file for component in chosen for engine in engines.get(component.name, ())]
    there = [file for file in built if bundle.complaint(file) is None]  # what is not can be built anew
    return [MANIFEST_NAME, *dict.fromkeys(file.path for file in (*needed, *there))]


def ask_agent(
    bundle: Bundle, files: Sequence[str], options: MeasureOptions, report: Report
) -> tuple[AgentReport, Engines]:
    """Brings the agent and the bundle to the machine, and runs the agent there. If its results are right, the engines
    that it used come back."""
    deadline = Deadline(options.limit)
    report(f"connecting to {options.on}" if options.on else "starting the agent")
    with agent_for(bundle.manifest) as agent, options.open(deadline) as device:

        def tell(message: str) -> None:
            report(f"{device.name}: {message}")

        try:
            there, directory = device.send(agent, bundle.directory, files, tell)
            engines = f"--engines={device.directory}/{FOLDER}"
            command = [options.interpreter, there, "measure", directory, engines, *options.arguments]
            outcome = watch(device.command(command), deadline, tell)
        except (DeviceError, MissingRuntimeError) as error:
            raise type(error)(f"{device.name}: {error}") from None
        answer = read_answer(outcome, device.name, options.interpreter)
        if any(failures(bundle.manifest, answer)):
            return answer, {}
        try:
            return answer, bring_engines(bundle, answer, device, tell)
        except DeviceError as error:
            raise DeviceError(f"{device.name}: {error}") from None


@contextmanager
def agent_for(manifest: Manifest) -> Iterator[Path]:
    """The agent's file for a bundle, in a temporary directory.

    Raises:
        TargetError: no backend is called as the bundle's.
        UnsupportedError: the backend has nothing that runs on devices.
    """
    from voxc.backends import find_backend  # which takes seconds, as it imports PyTorch

    backend = find_backend(manifest.build.target.backend)
    with tempfile.TemporaryDirectory(prefix="voxc-") as directory:
        yield Path(directory) / ship_agent(backend, Path(directory)).path


@interrupt.uncut
def merge_into(bundle: Bundle, run: DeviceRun) -> Manifest:
    """Writes the run into the manifest as it is by now, whole or not at all.

    Raises:
        BundleError: the bundle is another one by now.
        OutputError: it cannot be written.
    """
    now = read_manifest(bundle.directory)
    if now.build_digest != bundle.manifest.build_digest:
        raise BundleError(f"{bundle.directory}: was compiled anew while it was measured; measure it again")
    result = merged(now, run)
    try:
        write_manifest(bundle.directory, result)
    except OSError as error:
        raise OutputError(f"{bundle.directory}: cannot be written ({error.strerror or error})") from error
    return result
