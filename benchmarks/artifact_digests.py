"""Whether a change of the compiler changes what it makes: SHA-256 of every artifact file, before and after.

    python benchmarks/artifact_digests.py record FILE [--voice VOICE ...] [--target TARGET ...] [--frames 50]
    python benchmarks/artifact_digests.py compare FILE

`record` compiles voices for targets in their default precision and writes the digests to FILE. `compare` compiles the
same again and prints what differs; it fails if anything does. A plan that was found by measuring differs from run to
run, so it is recorded too and used again. By default all targets, the demo voice, and the golden voices in the folder
that VOXC_GOLDEN names (default: ../shared/golden).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from voxc.compiler.core.errors import VoxcError
from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.core.target import find_target, load_targets
from voxc.compiler.driver import compile_model
from voxc.compiler.manifest import Manifest
from voxc.compiler.precision.plans import PLAN_NAME
from voxc.compiler.request import Request

GOLDEN = Path(os.environ.get("VOXC_GOLDEN", Path(__file__).resolve().parents[2] / "shared" / "golden"))


class Artifacts(BaseModel):
    """The SHA-256 of a bundle's artifact files by path, and its plan where that was found by measuring; or `error`, why
    there is no bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: Mapping[str, str] = {}
    plan: str | None = None
    error: str | None = None


class Record(BaseModel):
    """Artifacts by voice and target, for segments of `frames`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: int
    voices: Mapping[str, Mapping[str, Artifacts]]


@dataclass(frozen=True)
class Difference:
    """A file whose digest changed, appeared or went away; or a bundle that can or cannot be compiled any more."""

    voice: str
    target: str
    what: str

    def __str__(self) -> str:
        return f"{self.voice}, {self.target}: {self.what}"


def main() -> None:
    options = parse()
    if options.command == "record":
        voices = options.voice or [Path("demo"), *sorted(GOLDEN.glob("*.pth"))]
        targets = options.target or list(load_targets())
        made = {str(voice): {name: compiled(voice, name, options.frames) for name in targets} for voice in voices}
        options.file.write_text(Record(frames=options.frames, voices=made).model_dump_json(indent=1) + "\n")
        return
    record = read_record(options.file)
    changes = list(differences(record))
    for change in changes:
        print(change)
    total = sum(len(each.files) for targets in record.voices.values() for each in targets.values())
    print(f"{total} files, {len(changes)} differences")
    sys.exit(bool(changes))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--voice", type=Path, nargs="+", help="checkpoints or directories, or 'demo'")
    parser.add_argument("--target", nargs="+", choices=list(load_targets()), metavar="TARGET")
    parser.add_argument("--frames", type=int, default=50, help="length of the segments")
    return parser.parse_args()


def read_record(file: Path) -> Record:
    """A file that `record` has written; exits with one line if there is none, or if it is something else."""
    try:
        return Record.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"artifact_digests: {file}: cannot be read ({error}); `record {file}` writes it")
    except ValidationError as error:
        sys.exit(f"artifact_digests: {file}: not a record of digests ({error.errors()[0]['msg']})")


def differences(record: Record) -> Iterator[Difference]:
    for voice, targets in record.voices.items():
        for target, before in targets.items():
            after = compiled(Path(voice), target, record.frames, before.plan)
            if before.error != after.error:
                yield Difference(voice, target, f"{before.error or 'compiled'}; now {after.error or 'compiles'}")
            for path in sorted(before.files.keys() | after.files.keys()):
                if before.files.get(path) != after.files.get(path):
                    yield Difference(voice, target, path)


def compiled(voice: Path, target: str, frames: int, plan: str | None = None) -> Artifacts:
    """The artifacts of one voice for one target, by a plan if there is one."""
    print(f"{voice.name}: {target}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="voxc-") as directory:
        folder = Path(directory)
        recipe = PrecisionRecipe()
        if plan is not None:
            (folder / PLAN_NAME).write_text(plan)
            recipe = recipe.with_options((), plan=folder / PLAN_NAME)
        request = Request(
            voice, (find_target(target, load_targets()),), folder / "bundle", frames=frames, precision=recipe,
            convert=False, threads=1,
        )  # fmt: skip
        try:
            ((place, manifest),) = compile_model(request)
        except VoxcError as error:
            return Artifacts(error=str(error).replace(directory, ""))
        measured = manifest.build.recipe.precision == "auto"
        return Artifacts(files=digests(manifest), plan=(place / PLAN_NAME).read_text() if measured else None)


def digests(manifest: Manifest) -> dict[str, str]:
    components = manifest.build.components
    return {file.path: file.sha256 for each in components for file in (*each.files, *each.fallback)}


if __name__ == "__main__":
    main()
