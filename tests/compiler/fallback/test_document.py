from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from voxc.compiler.fallback.document import MAX_LIST, Call, Document, DType, NonFinite, Reference

RELU = {"name": "relu", "operator": "aten.relu.default", "arguments": [{"value": "x"}]}


def document(**changes: Any) -> str:
    whole = {"inputs": {"x": "audio"}, "weights": {"w": "conv.weight"}, "outputs": {"y": "relu"}, "calls": [RELU]}
    return json.dumps(whole | changes)


def test_a_good_one_is_read() -> None:
    found = Document.model_validate_json(document())
    assert [*found.calls[0].references] == ["x"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"calls": [RELU | {"arguments": [{"value": "relu"}]}]}, "which is not there yet"),
        ({"calls": [RELU | {"arguments": [[{"value": "later"}]]}, RELU | {"name": "later"}]}, "not there yet"),
        ({"calls": [RELU | {"keywords": {"a": {"value": "nowhere"}}}]}, "takes nowhere"),
        ({"calls": [RELU, RELU]}, "two values are called relu"),
        ({"calls": [RELU | {"name": "x"}]}, "two values are called x"),
        ({"weights": {"x": "conv.weight"}}, "both an input and a weight"),
        ({"outputs": {"y": "nowhere"}}, "nowhere computed"),
        ({"version": 2}, "version"),
        ({"more": 1}, "more"),
        ({"calls": [RELU | {"name": "__import__('os')"}]}, "calls.0.name"),
        ({"calls": [RELU | {"arguments": [1] * 33}]}, "arguments"),
        ({"calls": [RELU | {"arguments": [[1] * (MAX_LIST + 1)]}]}, "arguments"),
        ({"calls": [RELU | {"arguments": [[[1]]]}]}, "arguments"),
        ({"calls": [RELU | {"arguments": [{"dtype": "storage"}]}]}, "arguments"),
        ({"calls": [RELU | {"arguments": [float("nan")]}]}, "arguments"),
    ],
)
def test_a_bad_one_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Document.model_validate_json(document(**changes))


def test_arguments_stay_what_they_are() -> None:
    arguments = (
        True, 1, 1.0, None, "tanh", Reference(value="x"), DType(dtype="int64"), NonFinite(number="-inf"), (1, None, 2.0)
    )  # fmt: skip
    call = Call(name="a", operator="aten.relu.default", arguments=arguments)
    again = Call.model_validate_json(call.model_dump_json())
    assert again == call
    assert [type(each) for each in again.arguments] == [type(each) for each in arguments]
