"""Targets: what a device and its runtime can do, parsed from targets.yaml."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from voxc.compiler.core.errors import TargetError
from voxc.compiler.core.gates import GateText
from voxc.compiler.core.plan import Policy, Precision

TARGETS_FILE = Path(__file__).resolve().parents[2] / "targets.yaml"

#: What stands for all targets in the place of a name.
ALL = "all"
#: The one in C is ten times as fast, and not everywhere.
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

LARGEST_PRODUCT = 255 * 127  # of an unsigned activation and a signed weight


class Scheme(BaseModel):
    """How a runtime's integer kernels want their numbers: what activations are stored in, and whether zero must lie in
    the middle. Weights are int8, symmetric, with a scale for each output channel. `outputs` is what the layers among
    them give: integers, or floats, which then need no rounding where floats go on with them. `pair_limit` is the
    largest sum of two neighbouring products that some of the runtime's kernels hold before they add up in 32 bits;
    None if all of them hold any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    activations: Literal["int8", "uint8"]
    symmetric: bool
    outputs: Literal["integers", "floats"] = "integers"
    pair_limit: int | None = Field(default=None, ge=LARGEST_PRODUCT)


class Peaks(BaseModel):
    """What a device can do at most, for estimates where it cannot be measured.

    `rates` are operations a second by what they compute in, in units of 1e9; a multiply-accumulate is two. `bandwidth`
    is that of its memory in 1e9 bytes a second, `launch` what each operator takes beside its work, in microseconds.
    `source` says where the numbers are from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rates: Mapping[Literal["float32", "float16", "int8"], Annotated[float, Field(gt=0)]] = Field(min_length=1)
    bandwidth: float = Field(gt=0)
    launch: float = Field(ge=0)
    source: str


class Target(BaseModel):
    """One entry of targets.yaml; the comments at the top of that file say what the fields mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    backend: str
    machine: str | None
    opset: int | None = Field(ge=13)
    layout: Literal["channels_first", "channels_last", "planar", "ane"]
    precisions: tuple[Policy, ...] = Field(min_length=1)
    scheme: Scheme | None
    absent: Mapping[Policy, str]
    emulated: Mapping[Precision, Precision] = {}
    arithmetic: Literal["float32", "float16"] = "float32"
    weights: Literal["channels", "grouped"] = "channels"
    batched_weights: bool = False
    scans: bool = True
    recurrent: bool = False
    implicit: Literal["convolutions"] | None = None
    segments: Literal["one", "several", "any"]
    threads: int | None = Field(ge=1)
    work_items: int | None = Field(ge=1)
    sub_pixel: float | None = Field(ge=1)
    max_width: int | None = Field(default=None, ge=1)
    fold_width: int | None = Field(default=None, ge=1)
    deployment: str | None = None
    compute_units: Literal["CPU_AND_NE", "CPU_AND_GPU", "ALL"] | None = None
    tensorrt: str | None = Field(default=None, pattern=r"^\d+\.\d+(\.\d+)*$")
    memory_mib: int | None = Field(default=None, ge=1)
    gates: tuple[GateText, ...]
    peaks: Peaks | None = None
    options: Mapping[str, JsonValue] = {}

    @property
    def default_precision(self) -> Policy:
        return self.precisions[0]

    @property
    def told_precisions(self) -> tuple[str, ...]:
        """What may be asked for, for people."""
        return (*self.precisions, *(f"{name} (emulated)" for name in self.emulated))

    def is_machine(self, model: str) -> bool:
        """Whether a machine whose maker calls it `model` is such a target."""
        return self.machine is None or self.machine in model


def load_targets(path: Path = TARGETS_FILE) -> dict[str, Target]:
    """All targets by name, in the order of the file.

    Raises:
        TargetError: the file is unreadable, or an entry has an unknown, missing or wrong key.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), SAFE_LOADER)  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TargetError(f"{path}: not readable as YAML ({error})") from error
    if not isinstance(document, dict):
        raise TargetError(f"{path}: must map target names to their properties")
    targets = {}
    for name, fields in document.items():
        try:
            targets[name] = Target.model_validate({"name": name, **(fields or {})})
        except (ValidationError, TypeError) as error:
            raise TargetError(f"{path}: target {name!r}: {first_complaint(error)}") from error
    return targets


def find_target(name: str, targets: dict[str, Target]) -> Target:
    """The target called `name`, in capitals or not.

    Raises:
        TargetError: there is none; the message has the nearest names.
    """
    if name in targets:
        return targets[name]
    folded = {known.casefold(): target for known, target in targets.items()}
    if name.casefold() in folded:
        return folded[name.casefold()]
    near = difflib.get_close_matches(name.casefold(), targets, n=3, cutoff=0.3) or list(targets)
    raise TargetError(f"unknown target {name!r}; nearest: {', '.join(near)} (`voxc targets` lists all)")


def find_targets(texts: Iterable[str], targets: dict[str, Target]) -> tuple[tuple[Target, ...], bool]:
    """The targets in texts such as `a,b`, each once; or all, if one is called `all`, and whether that is so.

    Raises:
        TargetError: there is no such target, or no name.
    """
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    if ALL in map(str.casefold, names):
        return tuple(targets.values()), True
    if not names:
        raise TargetError("--target: give the name of a target (`voxc targets` lists all)")
    return tuple({target.name: target for target in (find_target(name, targets) for name in names)}.values()), False


def first_complaint(error: ValidationError | TypeError) -> str:
    """The first thing that pydantic has to say, in one line."""
    if isinstance(error, TypeError):
        return "its properties must be a mapping"
    detail = error.errors()[0]
    return f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
