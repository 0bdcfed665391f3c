"""What residency.yaml holds: the comments at its top say what the fields mean."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict

RULES_FILE = Path(__file__).with_name("residency.yaml")


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reason(Record):
    """Why an operation is not on the engine, and what would help; both may have places for numbers."""

    why: str
    fix: str
    sources: tuple[str, ...]


class Rank(Reason):
    most: int


class Types(Reason):
    taken: frozenset[str]


class Lacking(Reason):
    operations: frozenset[str]


class Native(Record):
    operations: frozenset[str]
    sources: tuple[str, ...]


class Generation(Record):
    """Limits of the engine in one generation of chips: the longest axes, the widest kernel."""

    name: str
    batch: int
    channels: int
    height: int
    width: int
    kernel: int
    sources: tuple[str, ...]


class Rules(Record):
    """What residency.yaml holds."""

    sources: Mapping[str, str]
    generations: tuple[Generation, ...]
    rank: Rank
    axis: Reason
    kernel: Reason
    static: Reason
    types: Types
    unknown: Reason
    native: Native
    elsewhere: tuple[Lacking, ...]


@functools.cache
def load_rules() -> Rules:
    return Rules.model_validate(yaml.safe_load(RULES_FILE.read_text(encoding="utf-8")))
