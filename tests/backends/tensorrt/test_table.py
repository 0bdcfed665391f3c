from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.conftest import SHARED
from voxc.backends.onnx.dialect import Dialect
from voxc.backends.tensorrt.table import Limit, common_dialect, parse_version, table_for, tables, tables_for
from voxc.compiler.core.errors import TargetError

FACTS = SHARED / "facts" / "tensorrt_operators.json"


@pytest.fixture(scope="module")
def facts() -> dict[str, dict[str, object]]:
    if not FACTS.exists():
        pytest.skip(f"no table of facts at {FACTS}")
    return json.loads(FACTS.read_text())["versions"]  # type: ignore[no-any-return]


def test_the_table_is_that_of_the_facts(facts: dict[str, dict[str, object]]) -> None:
    assert {".".join(map(str, table.version)) for table in tables()} == set(facts)
    for table in tables():
        fact = facts[".".join(map(str, table.version))]
        rows = {name: row for name, row in fact["operators"].items() if row["supported"]}  # type: ignore[attr-defined]
        assert table.opset == fact["max_opset"]
        assert {name: set(types) for name, types in table.operators.items()} == {
            name: set(row["types"]) for name, row in rows.items()
        }


def test_every_restriction_is_a_limit_or_refuses_the_operator(facts: dict[str, dict[str, object]]) -> None:
    for table in tables():
        fact = facts[".".join(map(str, table.version))]
        for name, row in fact["operators"].items():  # type: ignore[attr-defined]
            if row.get("restricted"):
                assert table.limits_of(name) or name in table.unchecked, name


def test_limits_are_of_operators_that_are_there() -> None:
    known = set().union(*(table.operators for table in tables()))
    for table in tables():
        assert table.unchecked <= known
        assert {name for limit in table.limits for name in limit.operators} <= known


@pytest.mark.parametrize(
    ("version", "found"),
    [("8.2.1", "8.2"), ("8.2", "8.2"), ("8.3", "8.2"), ("8.5.2", "8.5"), ("9.3", "8.6"), ("10.3", "10.0")],
)
def test_a_version_has_the_newest_table_before_it(version: str, found: str) -> None:
    assert table_for(parse_version(version)).version == parse_version(found)


def test_versions_before_all_tables_are_refused() -> None:
    with pytest.raises(TargetError, match=r"TensorRT 7.2 is older than 8.2"):
        table_for((7, 2))


def test_no_version_means_all_of_them() -> None:
    assert tables_for(None) == tables()
    assert common_dialect(tables()) == Dialect(
        lacks=frozenset({"Gelu", "LayerNormalization", "Reciprocal"}),
        smallest=False,
        integer_clip=False,
        integer_weights=False,
    )
    assert common_dialect(tables_for((10, 3))) == Dialect(integer_clip=False, integer_weights=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "X"},
        {"attribute": "largest"},
        {"must": "zero"},
        {"input": "X", "is": 1},
        {"attribute": "a", "must": "zero"},
        {"input": "X", "attribute": "a", "must": "zero", "is": 1},
        {"input": "X", "must": "round"},
    ],
)
def test_limits_that_say_nothing_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Limit.model_validate({"operators": ["Conv"], **fields})


def test_the_file_names_its_sources() -> None:
    text = (Path(__file__).parents[3] / "backends/tensorrt/operators.yaml").read_text()
    assert "docs/operators.md of onnx-tensorrt" in text
