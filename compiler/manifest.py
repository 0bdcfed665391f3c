"""The manifest of a bundle: what was built, byte for byte repeatable, and what was measured, with its evidence.

`compiler/manifest.schema.json` is the published JSON Schema of these classes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, ValidationError

from voxc.compiler.core.digest import sha256_of_file
from voxc.compiler.core.errors import BundleError
from voxc.compiler.core.figure import Figure, Record
from voxc.compiler.core.machine import Machine
from voxc.compiler.core.tensor import TensorSpec
from voxc.compiler.core.whole_file import whole_file

if TYPE_CHECKING:
    from voxc.compiler.core.target import Target

SCHEMA_FILE = Path(__file__).with_name("manifest.schema.json")
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 24


def inside_bundle(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\\" in path or ":" in path:
        raise ValueError(f"{path!r} does not stay inside the bundle")
    return path


BundlePath = Annotated[str, AfterValidator(inside_bundle)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class FileRecord(Record):
    """A file of the bundle, by its path from the bundle's root."""

    path: BundlePath
    bytes: int
    sha256: Sha256

    @classmethod
    def of(cls, root: Path, path: Path) -> FileRecord:
        return cls(path=path.relative_to(root).as_posix(), bytes=path.stat().st_size, sha256=sha256_of_file(path))


class SourceFile(Record):
    """A file that the voice was read from, by its name alone."""

    name: str
    bytes: int
    sha256: Sha256


class Source(Record):
    """What the voice was read from: `checkpoint`, and perhaps `content` (its weights) and `index`."""

    files: Mapping[str, SourceFile]
    family: str
    facts: Mapping[str, str | int | float]


class TargetRecord(Record):
    """The target as targets.yaml had it. What a reader of bundles needs has a place of its own; the rest may grow."""

    name: str
    backend: str
    threads: int | None
    capabilities: Mapping[str, JsonValue]

    @classmethod
    def of(cls, target: Target) -> Self:
        fields = target.model_dump(mode="json")
        mine = {key: fields.pop(key) for key in ("name", "backend", "threads")}
        return cls(**mine, capabilities=fields)


class RecipeRecord(Record):
    """What was asked for. `frames` is the segment length, and with `dynamic` the one that was measured; `lengths` are
    further ones that the artifacts take. `why_frames` says what `frames` follows from where the target limits it, and
    what that takes of the target's memory where that is known. `precision` is the policy; what came of it is the plan.
    `gates` are bounds on the figures of the conversion."""

    frames: int
    lengths: tuple[int, ...] = ()
    why_frames: str = ""
    dynamic: bool
    precision: str
    gates: tuple[str, ...] = ()


class StageBuild(Record):
    """A stage that changed the networks before they were compiled: its options, seeds included, and what it did."""

    name: str
    options: Mapping[str, JsonValue]
    notes: tuple[str, ...]


class PassNote(Record):
    name: str
    modified: bool
    notes: tuple[str, ...]


class ComponentBuild(Record):
    """One component: its interface, what the passes did, and its artifact (main file first). `frame_rate` is in frames
    a second, null without time. `precisions` counts what the nodes of each module compute in, `operators` what the
    artifact's own operators do, as read back from its file. `oldest_runtime` is the first that has these, where that is
    known.
    `fallback` is the component for PyTorch (its graph, then its weights), where that was asked for."""

    name: str
    frame_rate: float | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    passes: tuple[PassNote, ...]
    precisions: Mapping[str, Mapping[str, int]]
    format: str
    operators: Mapping[str, Mapping[str, int]]
    oldest_runtime: str | None
    files: tuple[FileRecord, ...] = Field(min_length=1)
    min_snr_db: float
    fallback: tuple[FileRecord, ...] = ()

    @property
    def precision_histogram(self) -> dict[str, int]:
        """What the nodes of all modules compute in."""
        return dict(sorted(sum(map(Counter, self.precisions.values()), Counter()).items()))


#: Fields of Build that came after the first bundles.
ADDED_FIELDS = frozenset({"stages"})


class Build(Record):
    """Everything that follows from the checkpoint, the options and the tools: equal for equal inputs. A plan that was
    found by measuring is such an input: `--plan` gives the same build again. `voice` is what the family's chain has to
    know of the model. `agent` is what finishes a kit on its device."""

    tools: Mapping[str, str]
    source: Source
    target: TargetRecord
    recipe: RecipeRecord
    voice: Mapping[str, JsonValue]
    plan: FileRecord
    components: tuple[ComponentBuild, ...] = Field(min_length=1)
    agent: FileRecord | None = None
    stages: tuple[StageBuild, ...] = ()

    def digest(self) -> str:
        """SHA-256 of this section's canonical JSON. Fields that bundles of the first versions lack do not count as long
        as they are empty, so that those bundles keep their digests."""
        document = {
            name: value for name, value in self.model_dump(mode="json").items() if value or name not in ADDED_FIELDS
        }
        return hashlib.sha256(canonical_json(document).encode()).hexdigest()


class ComponentMeasurements(Record):
    """Figures of one component by name, and how long each pass took."""

    figures: Mapping[str, Figure]
    passes: Mapping[str, Figure]


class Conversion(Record):
    """A recording converted with the artifacts, and with float32 PyTorch on the same noise.

    `fidelity` compares the two results; `task` compares the artifacts' result with the target speaker and with the
    recording. `steps` is the time that each step of the conversion took. `audio` is there to be heard: `source`,
    `float32`, `converted`, and `target` where there is a recording of that speaker.
    """

    sample: str
    options: Mapping[str, str | int | float]
    fidelity: Mapping[str, Figure]
    task: Mapping[str, Figure]
    steps: Mapping[str, Figure]
    audio: Mapping[str, FileRecord]


class EngineBuild(Record):
    """What TensorRT made of a component on a device: it runs with that version on that GPU alone."""

    file: FileRecord
    tensorrt: str
    gpu: str
    compute_capability: str


class DeviceComponent(Record):
    """What the agent found of one component. `placements` are the parts of the machine that its OS said it would run
    operations on (`CPU`, `GPU`, `ANE`), by the name of the operation's first output, where there is such an OS.
    `engine` is what was run, where the component had to be built there."""

    figures: Mapping[str, Figure]
    placements: Mapping[str, str] = {}
    engine: EngineBuild | None = None


class DeviceRun(Record):
    """One run of `voxc measure`. `host` is what the machine calls itself, `runtime` the packages and their versions,
    `settings` threads or compute units, `conditions` what the OS told of power and clocks after the last run,
    `peak_memory` the most that the agent held. The evidence is `device` where the machine is one of the target's, and
    else `host`."""

    created: str
    host: str
    evidence: Literal["device", "host"]
    machine: Machine
    conditions: Mapping[str, str]
    runtime: Mapping[str, str]
    settings: Mapping[str, str | int]
    peak_memory: Figure
    components: Mapping[str, DeviceComponent]


class Measurements(Record):
    """What differs from run to run. `compile` is what the compile itself took; `reference` holds inputs, noise and
    float32 PyTorch's outputs; `conversion` is there for voices that have all that a conversion needs. `calibration`
    says what ranges came from, `searches` are tables and plots of how plans were found. `stages` are the times of the
    stages. `devices` are the runs of `voxc measure`, the latest for each host."""

    created: str
    machine: Machine
    threads: int
    compile: Mapping[str, Figure]
    reference: FileRecord
    components: Mapping[str, ComponentMeasurements]
    calibration: str | None = None
    searches: tuple[FileRecord, ...] = ()
    conversion: Conversion | None = None
    stages: Mapping[str, Figure] = {}
    devices: tuple[DeviceRun, ...] = ()


class Manifest(Record):
    schema_version: Literal[1] = 1
    status: Literal["passed", "failed"]
    failures: tuple[str, ...] = ()
    build_digest: Sha256
    build: Build
    measurements: Measurements

    def files(self) -> list[FileRecord]:
        """Every file of the bundle but the manifest."""
        measured = self.measurements
        return [
            self.build.plan,
            *([self.build.agent] if self.build.agent else ()),
            measured.reference,
            *measured.searches,
            *(file for component in self.build.components for file in (*component.files, *component.fallback)),
            *(
                component.engine.file
                for run in measured.devices
                for component in run.components.values()
                if component.engine is not None
            ),
            *(measured.conversion.audio.values() if measured.conversion else ()),
        ]

    def component(self, name: str) -> ComponentBuild:
        for component in self.build.components:
            if component.name == name:
                return component
        there = ", ".join(component.name for component in self.build.components)
        raise BundleError(f"the bundle has no component {name!r}; it has {there}")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a manifest, as `manifest.schema.json` publishes it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Manifest.model_json_schema(mode="serialization"),
        "title": "voxc bundle manifest, version 1",
    }


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Writes `manifest.json`, whole or not at all, after validating it against the published schema.

    Raises:
        BundleError: it would be larger than what is read.
        OSError: the place cannot be written.
    """
    path = directory / MANIFEST_NAME
    document = manifest.model_dump(mode="json")
    validate(document, path)
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    if len(text.encode()) >= MAX_MANIFEST_BYTES:
        raise BundleError(f"{path}: would be larger than {MAX_MANIFEST_BYTES >> 20} MiB")
    with whole_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the bundle in `directory`.

    Raises:
        BundleError: there is none, or it is not valid.
    """
    path = directory / MANIFEST_NAME
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{path}: larger than {MAX_MANIFEST_BYTES >> 20} MiB")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"{directory}: not a bundle: it has no {MANIFEST_NAME}") from error
    except NotADirectoryError as error:
        raise BundleError(f"{directory}: not a bundle: it is a file") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        return Manifest.model_validate_json(content, strict=True)
    except ValidationError:
        return checked(content, path)


def checked(content: bytes, path: Path) -> Manifest:
    """The manifest by the published schema, which says best what is wrong with one that cannot be read."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not readable as JSON ({error})") from error
    validate(document, path)
    try:
        return Manifest.model_validate(document)
    except ValueError as error:
        raise BundleError(f"{path}: {error}") from error


def validate(document: object, path: Path) -> None:
    import jsonschema

    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(document))
    if error is not None:
        raise BundleError(f"{path}: {error.json_path}: {error.message}")


def canonical_json(document: object) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
