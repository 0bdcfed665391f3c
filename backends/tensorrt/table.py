"""What each TensorRT's parser of ONNX takes, read from operators.yaml."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from voxc.backends.onnx.dialect import Dialect
from voxc.compiler.core.errors import TargetError

TABLE_FILE = Path(__file__).with_name("operators.yaml")
#: The first that has integers of 64 bits. Those before read them as 32 bits, and cut off what is beyond.
FIRST_INT64 = (10, 0)

#: What the emitter can spell out in other operators.
SPELLED_OUT = {"Reciprocal", "LayerNormalization", "Gelu"}

Version = tuple[int, ...]
Must = Literal["initializer", "constant", "zero", "positive"]


def parse_version(text: str) -> Version:
    """`8.2.1` as (8, 2, 1).

    Raises:
        ValueError: it is no version.
    """
    return tuple(int(part) for part in text.split("."))


class Limit(BaseModel):
    """Something that a parser asks of some operators; see operators.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    operators: tuple[str, ...] = Field(min_length=1)
    since: str = "0"
    before: str | None = None
    input: str | None = None
    attribute: str | None = None
    must: Must | None = None
    rank: tuple[int, int] | None = None
    only: int | None = Field(default=None, alias="is")
    source: Literal["table", "importer"] = "table"

    @model_validator(mode="after")
    def is_of_one_thing(self) -> Self:
        of_input, of_attribute = self.must is not None or self.rank is not None, self.only is not None
        if (self.input is None) == of_input or (self.attribute is None) == of_attribute or of_input == of_attribute:
            raise ValueError(
                f"limit of {', '.join(self.operators)}: an input with must or rank, or an attribute with is"
            )
        return self

    def holds_for(self, version: Version) -> bool:
        too_new = self.before is not None and version >= parse_version(self.before)
        return version >= parse_version(self.since) and not too_new


Types = Annotated[frozenset[str], BeforeValidator(lambda text: frozenset((text or "").split()))]


class TableFile(BaseModel):
    """operators.yaml as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    versions: Mapping[str, int]
    limits: tuple[Limit, ...]
    unchecked: frozenset[str]
    operators: Mapping[str, Mapping[str, Types]]


@dataclass(frozen=True)
class Table:
    """What the parser of one version takes: the newest opset, the types of data of each operator, and its limits."""

    version: Version
    opset: int
    operators: Mapping[str, frozenset[str]]
    unchecked: frozenset[str]
    limits: tuple[Limit, ...]

    @property
    def has_int64(self) -> bool:
        return self.version >= FIRST_INT64

    def limits_of(self, op_type: str) -> list[Limit]:
        return [limit for limit in self.limits if op_type in limit.operators]

    @property
    def dialect(self) -> Dialect:
        """What the emitter has to do without. Weights are floats that are rounded, and biases are floats: convolutions
        ask for biases from the file, and what TensorRT's own tools write are such weights."""
        known = {name for name in self.operators if name not in self.unchecked}
        return Dialect(
            lacks=frozenset(SPELLED_OUT - known),
            smallest=not any(limit.attribute == "largest" for limit in self.limits_of("TopK")),
            integer_clip="INT32" in self.operators["Clip"],
            integer_weights=False,
        )


@functools.cache
def tables() -> tuple[Table, ...]:
    """One table for each version that is known, the oldest first."""
    file = TableFile.model_validate(yaml.safe_load(TABLE_FILE.read_text(encoding="utf-8")))
    return tuple(table_of(file, parse_version(text), opset) for text, opset in file.versions.items())


def table_of(file: TableFile, version: Version, opset: int) -> Table:
    operators = {}
    for name, history in file.operators.items():
        past = [types for since, types in history.items() if parse_version(since) <= version]
        if past and past[-1]:
            operators[name] = past[-1]
    limits = tuple(limit for limit in file.limits if limit.holds_for(version))
    return Table(version, opset, operators, file.unchecked, limits)


def table_for(version: Version) -> Table:
    """The table of a version: its own, or that of the newest before it.

    Raises:
        TargetError: it is older than all that are known.
    """
    past = [table for table in tables() if table.version <= version]
    if not past:
        oldest, given = (".".join(map(str, each)) for each in (tables()[0].version, version))
        raise TargetError(f"TensorRT {given} is older than {oldest}, the oldest whose operators are known")
    return past[-1]


def tables_for(version: Version | None) -> tuple[Table, ...]:
    """The tables that a graph has to meet: that of a version, or all of them where it is not known."""
    return tables() if version is None else (table_for(version),)


def common_dialect(of: tuple[Table, ...]) -> Dialect:
    """What an emitter has to do without where each of these tables is to be met."""
    dialects = [table.dialect for table in of]
    return Dialect(
        lacks=frozenset().union(*(each.lacks for each in dialects)),
        smallest=all(each.smallest for each in dialects),
        integer_clip=all(each.integer_clip for each in dialects),
        integer_weights=all(each.integer_weights for each in dialects),
    )
