"""Families of models, and how the one that knows a file is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from voxc.compiler.core.errors import CheckpointError, RecipeError
from voxc.compiler.core.file_kind import foreign_file
from voxc.compiler.core.plugins import Plugins
from voxc.compiler.families.base import Family, FamilyOptions

if TYPE_CHECKING:
    from voxc.compiler.core.axis import Sizes
    from voxc.compiler.families.model import Model

#: The family of Python functions, which have to be named as such.
TORCH = "torch"
FAMILIES: Plugins[Family] = Plugins("voxc.families", Family)  # type: ignore[type-abstract]


def load_model(
    source: Path, options: Mapping[str, Any] | None = None, family: str | None = None, sizes: Sizes | None = None
) -> Model:
    """The model in `source`, by the family that is named, or that recognises it; options that are None are left out.
    `sizes` are the lengths of axes that are not time.

    Raises:
        CheckpointError: no family knows it, or the one that does cannot use it.
        RecipeError: there is no such family, or it has no such option; or the model has no such axis.
    """
    chosen = recognise(source) if family is None else find_family(family)
    requested = sizes or {}
    model = chosen.load(source, options_of(chosen, options or {}), requested)
    axes = {axis.name for each in model.components for axis in each.axes if axis.rate is None}
    for name in requested:
        if name not in axes | model.sizes.keys():
            there = f"; it has {', '.join(sorted(axes | model.sizes.keys()))}" if axes or model.sizes else ""
            raise RecipeError(f"--size {name}: {source.name} has no axis of that name whose length is to choose{there}")
    return replace(model, sizes={**model.sizes, **requested})


def find_family(name: str) -> Family:
    """The family called `name`.

    Raises:
        RecipeError: there is none.
    """
    if name not in FAMILIES:
        raise RecipeError(f"no family is called {name!r}; there are {', '.join(FAMILIES)}, and those of plug-ins")
    return FAMILIES[name]


def recognise(source: Path) -> Family:
    """Raises CheckpointError if no family knows `source`."""
    if source.exists() and not source.is_file() and not source.is_dir():
        raise CheckpointError(f"{source}: is a pipe or a device, which can be read only once; save it as a file first")
    for family in FAMILIES.values():
        if family.recognise(source):
            return family
    for family in FAMILIES.values():
        if source.suffix.lower() in family.suffixes:
            return family
    if not source.exists():
        factory = f"; if it is a Python function, add --family {TORCH}" if ":" in str(source) else ""
        raise CheckpointError(f"{source}: no such file{factory}")
    foreign = foreign_file(source)
    if foreign:
        raise CheckpointError(f"{source}: {foreign}")
    known = "; ".join(family.reads for family in FAMILIES.values())
    raise CheckpointError(f"{source}: not a model that voxc knows; it reads {known}")


def options_of(family: Family, values: Mapping[str, Any]) -> FamilyOptions:
    """`values` as the options of a family.

    Raises:
        RecipeError: it does not have one of them, or that has another type.
    """
    present = {name: value for name, value in values.items() if value is not None}
    for name in present:
        if name not in family.Options.model_fields:
            owners = [each.name for each in FAMILIES.values() if name in each.Options.model_fields]
            option = f"--{name.replace('_', '-')}"
            raise RecipeError(f"{option} is for models of the family {' or '.join(owners)}; this is {family.name}")
    try:
        return family.Options.model_validate(present)
    except ValidationError as error:
        detail = error.errors()[0]
        name = ".".join(str(part) for part in detail["loc"])
        raise RecipeError(f"--{name.replace('_', '-')}: {detail['msg']}") from error
