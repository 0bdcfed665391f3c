"""Bundles on disk: complete or absent, never half; and what is in one that somebody else made."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from voxc.compiler.core import interrupt
from voxc.compiler.core.digest import sha256_of_file
from voxc.compiler.core.errors import BundleError, OutputError, TensorError
from voxc.compiler.core.staging import PARTIAL_PREFIX, remove_abandoned, workplace
from voxc.compiler.core.tensor import Array, read_npz
from voxc.compiler.core.text import is_encodable
from voxc.compiler.manifest import MANIFEST_NAME, FileRecord, Manifest, read_manifest

REFERENCE_NAME = "reference.npz"


@dataclass(frozen=True)
class Bundle:
    """A bundle directory with a valid manifest; its files are not yet believed."""

    directory: Path
    manifest: Manifest

    @classmethod
    def open(cls, directory: Path) -> Bundle:
        """Raises BundleError if `directory` has no valid manifest."""
        return cls(directory, read_manifest(directory))

    def path(self, file: FileRecord) -> Path:
        """Where a file of the bundle is; never outside of it, whatever links there are.

        Raises:
            BundleError: it is missing or leads outside.
        """
        path = self.directory / file.path
        if not path.is_file():
            raise BundleError(f"{path}: missing from the bundle")
        if not path.resolve().is_relative_to(self.directory.resolve()):
            raise BundleError(f"{path}: leads out of the bundle")
        return path

    def complaint(self, file: FileRecord) -> str | None:
        """What is wrong with a file, None if its size and hash are those of the manifest."""
        try:
            path = self.path(file)
        except BundleError as error:
            return str(error)
        if path.stat().st_size != file.bytes:
            return f"{path}: {path.stat().st_size} bytes, the manifest says {file.bytes}"
        return None if sha256_of_file(path) == file.sha256 else f"{path}: its SHA-256 is not the manifest's"

    def reference(self, component: str) -> dict[str, Array]:
        """Reference inputs, noise and outputs of a component by tensor name."""
        path = self.path(self.manifest.measurements.reference)
        try:
            return component_tensors(read_npz(path), component)
        except TensorError as error:
            raise BundleError(str(error)) from error


def component_tensors(arrays: dict[str, Array], component: str) -> dict[str, Array]:
    """The arrays of one component out of a file whose keys are `component/tensor`, or plainly `tensor`."""
    prefix = f"{component}/"
    mine = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return {name: array for name, array in arrays.items() if "/" not in name} | mine


@contextlib.contextmanager
@interrupt.uncut
def staged(destination: Path) -> Iterator[Path]:
    """A directory beside `destination` that takes its name when the block ends well, and vanishes when it does not.

    What killed runs left behind is removed first. A bundle that is already there is replaced.

    Raises:
        OutputError: the place cannot be written, or something that is not a bundle is in it.
    """
    destination = Path(os.path.abspath(destination))
    refuse_to_overwrite(destination)
    made = [parent for parent in destination.parents if not parent.exists()]
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(destination.parent, PARTIAL_PREFIX)
        with workplace(destination.parent, PARTIAL_PREFIX) as place:
            staging = place / "new"
            staging.mkdir()
            yield staging
            interrupt.check()
            put_in_place(staging, destination)
    except OSError as error:
        raise OutputError(f"{destination}: cannot be written ({error.strerror or error})") from error
    finally:
        for parent in made:
            with contextlib.suppress(OSError):  # not empty: the bundle is in it
                parent.rmdir()


def refuse_to_overwrite(destination: Path) -> None:
    """Only a bundle or an empty directory gives way to a bundle. Nothing goes to a place that runtimes cannot open."""
    if not is_encodable(destination):
        raise OutputError(f"{destination}: its name is not valid UTF-8, which runtimes need; choose another with -o")
    refuse_unwritable(destination)
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise OutputError(f"{destination}: exists and is not a directory")
    if destination.is_dir() and any(destination.iterdir()) and not (destination / MANIFEST_NAME).is_file():
        raise OutputError(f"{destination}: exists and is not a bundle; choose another place with -o")


def refuse_unwritable(destination: Path) -> None:
    """Tries to make a directory beside `destination`, or where its parents would be made."""
    nearest = next((each for each in destination.absolute().parents if each.exists()), destination)
    try:
        Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=nearest)).rmdir()
    except OSError as error:
        raise OutputError(
            f"{destination}: cannot be written ({error.strerror or error}); choose another place with -o"
        ) from error


def put_in_place(staging: Path, destination: Path) -> None:
    """Renames; the old bundle, if any, steps aside into the same workplace, and goes with it."""
    if not destination.exists():
        staging.rename(destination)
        return
    old = destination.rename(staging.with_name("old"))
    try:
        staging.rename(destination)
    except OSError:
        old.rename(destination)
        raise
