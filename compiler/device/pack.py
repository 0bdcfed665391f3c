"""The agent as one file: a zip archive that Python runs, of the agent and the modules of backends that it needs.

The modules keep their names, so they import each other as they do here; the packages around them are empty. Python
looks into the archive first, so an installed voxc is not in the way.

    python -m voxc.compiler.device.pack agent.pyz              for the bundles of all backends
    python -m voxc.compiler.device.pack agent.pyz tensorrt     for those of one
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.manifest import FileRecord

if TYPE_CHECKING:
    from voxc.backends.base import Backend  # which imports PyTorch

NAME = "agent.pyz"
#: What every agent has. A package stands for the modules in it.
CORE = ("voxc.compiler.core.device_errors", "voxc.compiler.device.protocol", "voxc.compiler.device.agent")
SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = """\
import sys
from pathlib import Path

from voxc.compiler.device.agent.main import main

sys.exit(main(sys.argv[1:], {runtimes!r}, Path(__file__).parent.parent))
"""
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date that a zip archive can have
UNIX, REGULAR_FILE = 3, 0o100644


def ship_agent(backend: Backend, bundle: Path) -> FileRecord:
    """Writes the agent for a backend into a bundle.

    Raises:
        UnsupportedError: see `pack`.
    """
    place = bundle / NAME
    place.write_bytes(pack([backend]))
    return FileRecord.of(bundle, place)


def pack(backends: Sequence[Backend]) -> bytes:
    """The agent's file for the bundles of some backends; equal for equal sources.

    Raises:
        UnsupportedError: a backend has nothing that runs on devices.
    """
    for backend in backends:
        if not backend.device_modules:
            raise UnsupportedError(f"{backend.name} has no modules for devices; name a target of another backend")
    runtimes = {backend.name: backend.device_modules[0] for backend in backends}
    files = {"__main__.py": MAIN.format(runtimes=runtimes).encode()}
    for name in (*CORE, *(module for backend in backends for module in backend.device_modules)):
        files.update(dict(sources(name)))
    packages = {f"{parent}/__init__.py" for file in files for parent in Path(file).parents if parent.parts}
    return archive({**files, **dict.fromkeys(packages, b"")})


def sources(name: str) -> Iterator[tuple[str, bytes]]:
    """Paths and contents of a module, or of the modules in a package, but not in the packages below it."""
    spec = spec_of(name)
    if spec.submodule_search_locations is None:
        assert spec.origin is not None, name
        yield name.replace(".", "/") + ".py", Path(spec.origin).read_bytes()
        return
    for module in iter_modules(spec.submodule_search_locations):
        if not module.ispkg:
            yield from sources(f"{name}.{module.name}")


def spec_of(name: str) -> ModuleSpec:
    spec = find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"{name}, which devices need, is not installed", name=name)
    return spec


def archive(files: dict[str, bytes]) -> bytes:
    """A zip archive that Python runs, of files by their paths in it; equal for equal files, on every machine."""
    stream = io.BytesIO()
    stream.write(SHEBANG)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as made:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = UNIX, REGULAR_FILE << 16
            made.writestr(entry, content)
    return stream.getvalue()


def main() -> None:
    """Writes the agent into a file, to be copied to a device by hand."""
    from voxc.backends import BACKENDS, find_backend

    parser = argparse.ArgumentParser(description="Writes the agent, which runs and times bundles on devices.")
    parser.add_argument("file", type=Path)
    parser.add_argument("backends", nargs="*", default=list(BACKENDS), help="what its bundles are for (default: all)")
    arguments = parser.parse_args()
    arguments.file.write_bytes(pack([find_backend(name) for name in arguments.backends]))


if __name__ == "__main__":
    main()
