"""The packages that `pip install voxc` brings, as far as this environment has them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())["project"]


def required(extra: str | None = None) -> list[str]:
    """What voxc itself requires, or one of its extras."""
    return PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]


def distributions(requirements: Iterable[str]) -> dict[str, metadata.Distribution]:
    """The distributions of some requirements, and of all that these require, by name."""
    found: dict[str, metadata.Distribution] = {}
    waiting = list(requirements)
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        distribution = metadata.distribution(requirement.name)
        if distribution.name not in found:
            found[distribution.name] = distribution
            waiting += distribution.requires or []
    return found


def modules(distributions: Iterable[metadata.Distribution]) -> set[str]:
    """The names at the top that distributions put into site-packages."""
    return {
        file.parts[0].partition(".")[0]
        for distribution in distributions
        for file in distribution.files or ()
        if file.parts[0] != ".." and not file.parts[0].endswith(".dist-info")
    }
