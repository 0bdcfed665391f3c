from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from voxc.compiler.core.errors import OutputError, TensorError
from voxc.compiler.core.tensor import TensorSpec, accept_inputs, read_npz, write_npz


def spec(shape: tuple[int | str, ...], dtype: str = "float32", name: str = "x") -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype=dtype, unit="1", meaning="test")


def test_symbolic_sizes() -> None:
    assert spec((1, "T", "40*T")).bound_shape({"T": 3}) == (1, 3, 120)
    assert spec((1, "T")).bind({"T": 3}).shape == (1, 3)
    assert spec((1, "320*T+80", "T+2")).bound_shape({"T": 3}) == (1, 1040, 5)


def test_an_offset_fits_only_whole_frames() -> None:
    audio = spec((1, "320*T+80"))
    assert audio.fits((1, 400))
    assert not any(audio.fits((1, size)) for size in (0, 80, 320, 399, 401))


@pytest.mark.parametrize("size", ["t", "0*T", "T*2", "-1*T", "2*T+", "T-1", "99999999999*T"])
def test_a_size_that_means_nothing_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        spec((1, size))


@pytest.mark.parametrize(
    ("dtype", "given"),
    [
        ("float32", np.float64([[0.5, np.nan]])),
        ("float32", np.int32([[1, -2]])),
        ("float32", np.float16([[0.1, 0.2]])),
        ("int64", np.uint8([[1, 255]])),
        ("int64", np.float32([[1, 255]])),
        ("float32", np.asfortranarray(np.ones((1, 2), np.float32))),
    ],
)
def test_values_that_survive_are_cast(dtype: str, given: np.ndarray) -> None:
    accepted = spec((1, 2), dtype).accept(given)
    assert accepted.dtype == dtype
    assert accepted.flags.c_contiguous
    np.testing.assert_array_equal(accepted, given)


@pytest.mark.parametrize(
    ("dtype", "given"),
    [
        ("float32", np.float64([[0.1, 0.2]])),
        ("float32", np.int64([[1, 2**24 + 1]])),
        ("float32", np.float64([[1e300, 0]])),
        ("int64", np.float32([[0.5, 1]])),
        ("int64", np.float32([[np.nan, 1]])),
        ("float32", np.array([["a", "b"]])),
        ("float32", np.complex64([[1, 2]])),
    ],
)
def test_values_that_would_be_harmed_are_refused(dtype: str, given: np.ndarray) -> None:
    with pytest.raises(TensorError, match="^x: "):
        spec((1, 2), dtype).accept(given)


@pytest.mark.parametrize("shape", [(2,), (1, 3), (1, 2, 1)])
def test_a_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TensorError, match=r"the component takes \[1, 2\]"):
        spec((1, 2)).accept(np.zeros(shape, np.float32))


def test_inputs_must_agree_on_the_frames() -> None:
    specs = [spec((1, "T"), name="a"), spec((1, "4*T"), name="b")]
    accept_inputs(specs, {"a": np.zeros((1, 3), np.float32), "b": np.zeros((1, 12), np.float32)})
    with pytest.raises(TensorError, match="a has 3, b has 2"):
        accept_inputs(specs, {"a": np.zeros((1, 3), np.float32), "b": np.zeros((1, 8), np.float32)})


def test_missing_and_unknown_names_are_told() -> None:
    with pytest.raises(TensorError, match=r"missing: x; unknown: y.*takes x"):
        accept_inputs([spec((1,))], {"y": np.zeros(1, np.float32)})


def test_npz_round_trip_is_repeatable(tmp_path: Path) -> None:
    arrays = {"b/c": np.arange(6).reshape(2, 3), "a": np.float32([1.5]), "f": np.asfortranarray(np.ones((2, 3)))}
    write_npz(tmp_path / "one.npz", arrays)
    write_npz(tmp_path / "two.npz", dict(reversed(arrays.items())))
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    found = read_npz(tmp_path / "one.npz")
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_an_unwritable_npz_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_npz(tmp_path / "missing" / "out.npz", {"a": np.zeros(1)})
    assert not list(tmp_path.iterdir())


def hostile(name: str, path: Path) -> None:
    if name == "not a zip":
        path.write_bytes(b"PK\x03\x04 no")
    elif name == "pickled objects":
        np.savez(path, x=np.array([{"a": 1}], dtype=object))
    elif name == "broken stream":
        np.savez_compressed(path, x=np.arange(1000))
        content = bytearray(path.read_bytes())
        content[60:90] = bytes(30)
        path.write_bytes(content)
    elif name != "missing":
        header = {
            "lying header": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }",
            "negative sizes": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -8), }",
            "broken header": "{'descr': __import__('os'), }",
            "header that does not tokenize": "{'descr': '<f4', 'shape': (1L, ",
        }[name]
        member = io.BytesIO()
        member.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(16))
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", member.getvalue())


@pytest.mark.parametrize(
    "name",
    ["missing", "not a zip", "pickled objects", "lying header", "negative sizes", "broken header",
     "header that does not tokenize", "broken stream"],
)  # fmt: skip
def test_a_hostile_npz_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.npz"
    hostile(name, path)
    with pytest.raises(TensorError, match="bad.npz"):
        read_npz(path)
