"""Engines that a device built: into the bundle, where their bytes name them, so that none is ever half another."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from voxc.compiler.bundle import Bundle
from voxc.compiler.core import interrupt
from voxc.compiler.core.digest import sha256_of_file
from voxc.compiler.core.errors import BundleError, DeviceError, OutputError
from voxc.compiler.device.report import AgentReport, EngineReport
from voxc.compiler.manifest import ComponentBuild, EngineBuild, FileRecord, Manifest

#: The directory of engines, in the bundle and on the device, and their suffix.
FOLDER, ENGINE = "engines", ".engine"
MIB = 1 << 20
#: What an engine may have: kernels, and weights in the forms that several of them want.
KERNELS_MIB, FORMS = 64, 8

Tell = Callable[[str], None]


class Source(Protocol):
    """A device that has built engines."""

    def fetch(self, name: str, stream: IO[bytes], size: int, tell: Tell) -> None:
        """Copies the file `name` below the device's directory, which has `size` bytes.

        Raises:
            DeviceError: it has not, or it did not come.
        """


def listed_engines(manifest: Manifest) -> dict[str, list[EngineBuild]]:
    """The engines in the manifest by component, each once."""
    found: dict[str, dict[str, EngineBuild]] = {}
    for run in manifest.measurements.devices:
        for name, component in run.components.items():
            if component.engine is not None:
                found.setdefault(name, {})[component.engine.file.path] = component.engine
    return {name: list(engines.values()) for name, engines in found.items()}


def bring_engines(bundle: Bundle, answer: AgentReport, device: Source, tell: Tell) -> dict[str, EngineBuild]:
    """The engines that a device used, by component: in the bundle, though its manifest does not list them yet.

    Raises:
        DeviceError: what came is not what the agent told of.
        BundleError, OutputError: there is no place for them in the bundle.
    """
    engines: dict[str, EngineBuild] = {}
    try:
        for name, found in answer.components.items():
            if found.engine is not None:
                component = bundle.manifest.component(name)
                file = there_already(bundle, found.engine) or brought(
                    bundle, component, found.engine, answer.host, device, tell
                )
                identity = found.engine.model_dump(include={"tensorrt", "gpu", "compute_capability"})
                engines[name] = EngineBuild(file=file, **identity)
    except BaseException:
        remove_unlisted(bundle.directory, bundle.manifest, engines.values())
        raise
    return engines


def there_already(bundle: Bundle, engine: EngineReport) -> FileRecord | None:
    same = (file for file in bundle.manifest.files() if file.sha256 == engine.sha256)
    return next((file for file in same if bundle.complaint(file) is None), None)


def brought(
    bundle: Bundle, component: ComponentBuild, engine: EngineReport, host: str, device: Source, tell: Tell
) -> FileRecord:
    """An engine as a file of the bundle, `engines/<host>/<component>-<digest>.engine`, once all its bytes are there."""
    most = KERNELS_MIB * MIB + FORMS * sum(file.bytes for file in component.files)
    if engine.bytes > most:
        raise DeviceError(f"the engine of {component.name} is to have {engine.bytes} bytes; at most {most} are taken")
    main = PurePosixPath(component.files[0].path)
    path = bundle.directory / FOLDER / slug(host) / f"{main.stem}-{engine.sha256[:12]}{ENGINE}"
    if not path.parent.resolve().is_relative_to(bundle.directory.resolve()):
        raise BundleError(f"{path.parent}: leads out of the bundle")
    try:
        with partial_engine(path.parent) as partial:
            with partial.open("wb") as stream:
                device.fetch(f"{FOLDER}/{main.with_suffix(ENGINE)}", stream, engine.bytes, tell)
            if sha256_of_file(partial) != engine.sha256:
                raise DeviceError(f"the engine of {component.name} came with another SHA-256 than the agent told of")
            partial.replace(path)
        return FileRecord(path=path.relative_to(bundle.directory).as_posix(), bytes=engine.bytes, sha256=engine.sha256)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


@contextmanager
@interrupt.uncut
def partial_engine(folder: Path) -> Iterator[Path]:
    """A file in a host's directory that takes another name in the block; what is not needed at its end is removed."""
    partial = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".", suffix=".voxc-partial", dir=folder)
        partial = Path(name)
        os.close(descriptor)
        yield partial
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
        remove_empty(folder)


def slug(host: str) -> str:
    """A name for a directory, of what a machine calls itself."""
    return re.sub(r"[^A-Za-z0-9]+", "-", host)[:64].strip("-") or "device"


@interrupt.uncut
def remove_unlisted(directory: Path, manifest: Manifest, engines: Iterable[EngineBuild]) -> None:
    """Removes those of `engines` that the manifest does not list."""
    listed = {file.path for file in manifest.files()}
    for engine in engines:
        path = directory / engine.file.path
        if engine.file.path not in listed and PurePosixPath(engine.file.path).parts[0] == FOLDER:
            path.unlink(missing_ok=True)
            remove_empty(path.parent)


def remove_empty(folder: Path) -> None:
    """Removes a host's directory, and that of all hosts, if nothing is in them."""
    for each in (folder, folder.parent):
        if each.is_dir() and not any(each.iterdir()):
            each.rmdir()


def receive(source: IO[bytes], stream: IO[bytes], size: int, tell: Tell) -> int:
    """Copies at most one byte more than `size`; gives how many came."""
    done = 0
    while block := source.read(min(MIB, size + 1 - done)):
        stream.write(block)
        done += len(block)
        tell(f"fetching, {done / 1e6:.0f} of {size / 1e6:.0f} MB")
    return done


def wrong_size(name: str, came: int, size: int) -> DeviceError:
    more = "more" if came > size else str(came)
    return DeviceError(f"{name}: {more} bytes came, and the agent told of {size}")


Engines = Mapping[str, EngineBuild]
