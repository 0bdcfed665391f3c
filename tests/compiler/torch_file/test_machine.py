from __future__ import annotations

import collections
import datetime
import io
import os
import pickle
from argparse import Namespace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxc.compiler.torch_file import machine
from voxc.compiler.torch_file.machine import Machine
from voxc.compiler.torch_file.objects import Foreign, RefusedError, StoredArray

DAMAGED = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError)

keys = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.floats(allow_nan=False))
values = st.recursive(
    st.one_of(keys, st.integers(-(2**200), 2**200)),
    lambda inner: st.one_of(
        st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(keys, inner), st.sets(keys),
        st.frozensets(keys), st.dictionaries(keys, inner).map(collections.OrderedDict),
    ),
    max_leaves=20,
)  # fmt: skip


def run(content: bytes) -> Any:
    def storage(identifier: Any) -> Any:
        raise KeyError(identifier)

    return Machine(storage, 1 << 20).run(io.BytesIO(content))


@settings(max_examples=200, deadline=None)
@given(value=values, protocol=st.integers(0, 5))
def test_plain_values_are_as_pickle_reads_them(value: Any, protocol: int) -> None:
    assert run(pickle.dumps(value, protocol)) == value


def test_one_object_in_two_places_stays_one() -> None:
    inner = [1]
    result = run(pickle.dumps([inner, inner, {"a": inner}]))
    assert result[0] is result[1] is result[2]["a"]


@pytest.mark.parametrize("protocol", range(5))
def test_numbers_and_arrays_of_numpy(protocol: int) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    number, plain, fortran = run(pickle.dumps([np.int16(-7), array, np.asfortranarray(array)], protocol))
    assert number == -7
    assert isinstance(plain, StoredArray)
    assert np.array_equal(plain.array, array)
    assert np.array_equal(fortran.array, array)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value", [Namespace(a=1), PurePosixPath("/x"), datetime.date(2020, 1, 2), collections.Counter("aab")]
)
def test_other_objects_are_inert(value: object, protocol: int) -> None:
    result = run(pickle.dumps(value, protocol))
    assert isinstance(result, Foreign | dict)
    if isinstance(value, Namespace):
        assert result == Foreign("argparse.Namespace", result.arguments, {"a": 1})


class Call:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function", [os.system, exec, eval, getattr, __import__, os.remove, pickle.loads])
def test_nothing_is_called(function: Any, protocol: int, tmp_path: Any) -> None:
    with pytest.raises(RefusedError, match=rf"would run code \(\w+\.{function.__name__}\)"):
        run(pickle.dumps(Call(function, "x"), protocol))


def test_names_are_not_looked_up() -> None:
    """A name alone does nothing, whatever it is."""
    result = run(b"\x80\x02cno.such.package\nthing\n.")
    assert str(result) == "no.such.package.thing"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x80", b".", b"\x80\x02", b"\x80\x02}.x"[:3], b"\x80\x02K\x01K\x02s.", b"\x80\x02]K\x01\x85b0.",
        b"(", b"0.", b"\x80\x02h\x05.", b"\x80\x02U\xffabc", b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x02t.", b"\x82\x01.", b"\x80\x02K\x01\x93.", b"\x80\x02}]K\x01s.", b"cos\n.",
        b"I" + b"9" * 100_000 + b"\n.", b"\xff",
    ],
)  # fmt: skip
def test_damaged_pickles(content: bytes) -> None:
    with pytest.raises(DAMAGED):
        run(content)


def test_deep_keys_do_not_exhaust_the_stack() -> None:
    with pytest.raises(ValueError, match="no plain value"):
        run(b"\x80\x02}" + b")" + b"\x85" * 1_000_000 + b"K\x01s.")


def test_steps_and_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = pickle.dumps(list(range(1000)))
    monkeypatch.setattr(machine, "MAX_STEPS", 100)
    with pytest.raises(ValueError, match="too many objects"):
        run(content)
    monkeypatch.undo()
    monkeypatch.setattr(machine, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match=r"expected|exhausted"):
        run(content)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200))
def test_random_bytes(content: bytes) -> None:
    try:
        run(b"\x80\x02" + content + b".")
    except (*DAMAGED, RefusedError):
        pass
