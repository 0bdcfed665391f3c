"""What the agent makes of a kit's weights in 8 bits, and what it does not believe."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.compiler.device.asking import ask
from tests.compiler.device.conftest import edit_manifest
from tests.compiler.device.kits import add_file
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


def pack_weights(kit: Path) -> None:
    """Takes the larger weights out of the kit's ONNX file."""
    from voxc.backends.onnx.builder import Packed
    from voxc.backends.tensorrt import packed

    file = kit / "synthesizer.onnx"
    model = onnx.load(file)
    weights = {}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.ndim > 1:
            scales = np.abs(array).max(tuple(range(1, array.ndim)), keepdims=True) / np.float32(127) + np.float32(1e-9)
            weights[tensor.name] = Packed(np.round(array / scales).astype(np.int8), scales)
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name].floats, tensor.name))
    onnx.save_model(model, file)
    (beside,) = packed.pack(file, weights)
    for name in (file.name, beside.name):
        add_file(kit, name, (kit / name).read_bytes())
    edit_manifest(kit, lambda document: document["build"]["components"][0]["files"].sort(key=lambda each: each["path"]))


@pytest.mark.parametrize("engines", ["", "engines"])
def test_an_engine_of_packed_weights(
    kit: Path, hardware: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engines: str
) -> None:
    """It is built of a copy of the file with its floats, of which nothing is left; and it computes what the kit did."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(hardware))
    monkeypatch.setenv("FAKE_TENSORRT", "8.2.1.8")
    pack_weights(kit)
    edit_manifest(kit, lambda document: document["build"]["components"][0].update(min_snr_db=25))
    size = (kit / "synthesizer.onnx").stat().st_size
    before = {file.name for file in kit.iterdir()}
    options = ("--engines", tmp_path / engines) if engines else ()
    answer = ask(tmp_path, "run", kit, *options, path=hardware)
    assert answer.code == 0, answer.stderr
    found = answer.document["components"]["synthesizer"]
    assert 25 < found["snr_db"] < 90, "8 bits are not float32"
    place = tmp_path / engines if engines else kit
    made = {"synthesizer.engine", "synthesizer.engine.json"}
    assert {file.name for file in place.iterdir()} - (set() if engines else before) == made
    assert (place / "synthesizer.engine").stat().st_size > 1.3 * size, "it has the floats"
    stated = json.loads((place / "synthesizer.engine.json").read_text())
    assert "synthesizer.weights.npz" in stated["sources"]


def test_packed_weights_that_are_none(
    kit: Path, hardware: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(hardware))
    pack_weights(kit)
    add_file(kit, "synthesizer.weights.npz", b"PK")
    answer = ask(tmp_path, "run", kit, path=hardware)
    assert answer.code == 2
    assert "synthesizer.weights.npz: not the weights of a kit" in answer.document["error"]["message"]
    assert not [file for file in kit.iterdir() if file.name.startswith(".voxc")]
