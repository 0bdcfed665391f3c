"""What the agent makes of a kit's weights in 8 bits, and what it does not believe."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxc.backends.tensorrt.device.packed_weights import read_packed, whole
from voxc.compiler.core.device_errors import BundleError, MachineError, SettingError
from voxc.compiler.core.tensor import write_npz

NUMBERS = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
SCALES = np.array([[0.5], [0.25], [3]], np.float32)
FLAT = np.array([[[2]]], np.float32)


def archive(directory: Path, **changes: Any) -> Path:
    arrays = {"numbers/b": NUMBERS, "scales/b": SCALES, "numbers/a": NUMBERS[None], "scales/a": FLAT}
    given = {name: array for name, array in (arrays | changes).items() if array is not None}
    write_npz(directory / "net.weights.npz", given)
    return directory / "net.weights.npz"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    (tmp_path / "net.onnx").write_bytes(b"a network")
    return tmp_path / "net.onnx"


def test_weights_lie_beside_a_copy_for_a_while(network: Path, tmp_path: Path) -> None:
    packed, elsewhere = archive(tmp_path), tmp_path / "engines" / "board"
    before = sorted(tmp_path.iterdir())
    with whole(network, packed, elsewhere) as copy:
        assert copy.parent.parent == elsewhere
        assert copy.read_bytes() == b"a network"
        floats = np.fromfile(f"{copy}.data", "<f4")
        wanted = [NUMBERS * np.float32(2), NUMBERS * SCALES]  # in the order of names
        assert np.array_equal(floats, np.concatenate([each.ravel() for each in wanted]))
    assert not list(elsewhere.iterdir())
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "engines"])


def test_they_vanish_when_a_build_fails(network: Path, tmp_path: Path) -> None:
    packed, elsewhere = archive(tmp_path), tmp_path / "engines"
    with pytest.raises(MachineError), whole(network, packed, elsewhere):
        raise MachineError("no memory")
    assert not list(elsewhere.iterdir())


def test_a_file_that_has_its_weights_is_taken_as_it_is(network: Path, tmp_path: Path) -> None:
    with whole(network, None, tmp_path / "engines") as copy:
        assert copy == network
    assert not (tmp_path / "engines").exists()


def test_a_place_that_cannot_be_written(network: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"cannot hold the weights of net\.onnx \(Not a directory\)"):
        whole(network, archive(tmp_path), network / "engines").__enter__()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"numbers/b": NUMBERS.astype(np.float32)}, "b is float32 and float32, not int8 and float32"),
        ({"scales/b": SCALES.astype(np.float64)}, "another type than int8 and float32"),
        ({"numbers/b": np.array([{"pickled": 1}])}, "another type"),
        ({"scales/b": SCALES[:2]}, r"b: scales of shape \(2, 1\) are not for \(3, 4\)"),
        ({"scales/b": SCALES.reshape(3)}, "scales of shape"),
        ({"scales/b": np.ones((3, 4), np.float32)}, "scales of shape"),
        ({"scales/b": np.array([[0.5], [np.nan], [1]], np.float32)}, "b: a scale that is none"),
        ({"scales/b": -SCALES}, "b: a scale that is none"),
        ({"scales/b": None}, "does not hold numbers and scales alone"),
        ({"numbers/b": None}, "does not hold numbers and scales alone"),
        ({"surplus": NUMBERS}, "does not hold numbers and scales alone"),
        ({"numbers/b": np.asfortranarray(NUMBERS)}, "in another form than voxc's"),
    ],
)
def test_arrays_that_are_no_weights(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BundleError, match=r"net\.weights\.npz: not the weights of a kit .*" + complaint):
        list(read_packed(archive(tmp_path, **changes)))


def compressed(file: Path) -> None:
    """A file of a thousand times its bytes."""
    np.savez_compressed(file, **{"numbers/a": np.zeros((1 << 20,), np.int8), "scales/a": np.ones((1,), np.float32)})


def twice(file: Path) -> None:
    with zipfile.ZipFile(file, "a") as changed, pytest.warns(UserWarning, match="Duplicate"):
        changed.writestr("numbers/b.npy", b"")


def far_too_long(file: Path) -> None:
    """An entry whose header announces a terabyte."""
    npy = b"{'descr': '|i1', 'fortran_order': False, 'shape': (1099511627776,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("numbers/a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(npy)) + npy)
        made.writestr("scales/a.npy", b"")


def one_place(file: Path) -> None:
    """Many entries that are the same bytes."""
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("numbers/a.npy", bytes(1 << 16))
        entry = made.infolist()[0]
        for number in range(9):
            other = zipfile.ZipInfo(f"numbers/{number}.npy")
            other.header_offset, other.CRC = entry.header_offset, entry.CRC
            other.compress_size = other.file_size = entry.file_size
            made.filelist.append(other)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def changed(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content.replace(NUMBERS.tobytes(), NUMBERS[::-1].tobytes()))


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (compressed, "says that it holds more than it does"),
        (twice, "does not hold numbers and scales alone"),
        (far_too_long, "reshape|offset"),
        (one_place, "says that it holds more than it does"),
        (cut, "not a zip file"),
        (changed, "CRC"),
        (lambda file: file.write_bytes(b""), "not a zip file"),
        (lambda file: file.unlink(), "No such file"),
    ],
)
def test_archives_that_lie(tmp_path: Path, harm: Callable[[Path], object], complaint: str) -> None:
    file = archive(tmp_path)
    harm(file)
    with pytest.raises(BundleError, match=complaint):
        list(read_packed(file))


def test_small_compressed_ones_are_refused_too(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", **{"numbers/a": NUMBERS, "scales/a": SCALES})
    with pytest.raises(BundleError, match="does not hold numbers and scales alone"):
        list(read_packed(tmp_path / "a.npz"))
