"""This machine, in the place of a device."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from voxc.compiler.core.errors import DeviceError
from voxc.compiler.device.engines import receive, wrong_size

NAME = "this machine"


@dataclass(frozen=True)
class Here:
    """The agent is copied to a temporary directory, so that nothing beside it is imported; the bundle stays."""

    name: str
    directory: str

    def send(self, agent: Path, bundle: Path, files: Sequence[str], tell: Callable[[str], None]) -> tuple[str, str]:
        return shutil.copy(agent, self.directory), str(bundle.absolute())

    def fetch(self, name: str, stream: IO[bytes], size: int, tell: Callable[[str], None]) -> None:
        """Raises DeviceError if the file is not there, or has another size."""
        try:
            with (Path(self.directory) / name).open("rb") as source:
                came = receive(source, stream, size, tell)
        except FileNotFoundError as error:
            raise DeviceError(f"{name} could not be fetched: {error.strerror}") from error
        if came != size:
            raise wrong_size(name, came, size)

    def command(self, arguments: Sequence[str]) -> list[str]:
        return ["env", f"TMPDIR={self.directory}", *arguments]  # runtimes leave things behind


@contextlib.contextmanager
def this_machine() -> Iterator[Here]:
    with tempfile.TemporaryDirectory(prefix="voxc-") as directory:
        yield Here(NAME, directory)
