from __future__ import annotations

import json
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends.coreml.interpret.harness import ct, mb, save_program, types
from voxc.backends.coreml.blobs import BlobFile, decode, unpack
from voxc.backends.coreml.interpreter import Interpreter
from voxc.backends.coreml.mil import Constant, Feature, TensorType
from voxc.backends.coreml.package import model_file, read_program
from voxc.backends.coreml.sdk import proto
from voxc.compiler.core.errors import BundleError, UnsupportedError, VoxcError

MODEL = Path("Data/com.apple.CoreML/model.mlmodel")
WEIGHTS = Path("Data/com.apple.CoreML/weights/weight.bin")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with a convolution, a block within an operation, and weights in a file."""

    @mb.program(input_specs=[mb.TensorSpec((1, 4, 8), types.fp32)], opset_version=ct.target.iOS17)
    def program(a: Any) -> Any:
        weight = np.arange(48, dtype=np.float32).reshape(4, 4, 3) / 48
        a = mb.conv(x=a, weight=weight, pad_type="custom", pad=[1, 1], name="mixed")
        picked = mb.cond(
            pred=mb.greater(x=mb.reduce_sum(x=a, keep_dims=False), y=0.0),
            _true_fn=lambda: mb.relu(x=a),
            _false_fn=lambda: mb.tanh(x=a),
        )
        return mb.identity(x=picked, name="y")

    return save_program(program, tmp_path_factory.mktemp("package"), "iOS17")


@pytest.fixture
def package(whole: Path, tmp_path: Path) -> Path:
    """The same, for breaking."""
    return Path(shutil.copytree(whole, tmp_path / "broken.mlpackage"))


def run(package: Path) -> None:
    Interpreter(package, 1).run({"a": np.ones((1, 4, 8), np.float32)})


def rewrite(package: Path, change: Callable[[Any], None]) -> None:
    """Changes the model's message."""
    model = proto.Model_pb2.Model.FromString((package / MODEL).read_bytes())
    change(model)
    (package / MODEL).write_bytes(model.SerializeToString())


def block_of(model: Any) -> Any:
    function = model.mlProgram.functions["main"]
    return function.block_specializations[function.opset]


def operation_of(model: Any, kind: str) -> Any:
    return next(operation for operation in block_of(model).operations if operation.type == kind)


def weight_of(model: Any) -> Any:
    return next(
        operation.attributes["val"]
        for operation in block_of(model).operations
        if operation.type == "const" and operation.attributes["val"].WhichOneof("value") == "blobFileValue"
    )


def test_a_program_is_read_with_its_types_constants_and_blocks(package: Path) -> None:
    program = read_program(package)
    main = program.main
    assert (program.default, main.opset) == ("main", "CoreML7")
    assert main.inputs == (Feature("a", "float32", (1, 4, 8)),)
    assert [feature.name for feature in main.outputs] == ["y"]
    conv = next(operation for operation in main.block.operations if operation.type == "conv")
    assert conv.name == "mixed"
    assert conv.outputs[0].type == TensorType("float32", (1, 4, 8))
    assert conv.inputs["x"] == ("a",)
    names = {operation.name: operation for operation in main.block.operations}
    (reference,) = conv.inputs["weight"]
    assert isinstance(reference, str)
    weight = names[reference].attributes["val"]
    assert isinstance(weight, Constant)
    assert str(weight.type) == "float32[4, 4, 3]"
    assert weight.stored == 192
    np.testing.assert_array_equal(weight.value.ravel(), np.arange(48, dtype=np.float32) / 48)
    cond = next(operation for operation in main.block.operations if operation.type == "cond")
    assert [[operation.type for operation in block.operations] for block in cond.blocks] == [["relu"], ["tanh"]]


def test_metadata_is_what_was_written(package: Path) -> None:
    def change(model: Any) -> None:
        model.description.metadata.author = "Ada"
        model.description.metadata.userDefined["unit"] = "Hz"
        model.description.input[0].shortDescription = "pitch"

    rewrite(package, change)
    program = read_program(package)
    assert program.metadata.items() >= {"author": "Ada", "unit": "Hz"}.items()
    assert program.main.inputs[0].description == "pitch"


def test_a_missing_package_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nothing.mlpackage/Manifest.json: cannot be read"):
        read_program(tmp_path / "nothing.mlpackage")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"rootModelIdentifier": 3, "itemInfoEntries": {}}',
        b'{"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": 7}}}',
        b'{"rootModelIdentifier": "a", "itemInfoEntries": "a"}',
    ],
)  # fmt: skip
def test_a_broken_manifest_is_told(package: Path, content: bytes) -> None:
    (package / "Manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match="Manifest.json: "):
        read_program(package)


def test_a_manifest_without_end_is_not_read(package: Path) -> None:
    with (package / "Manifest.json").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(BundleError, match="Manifest.json: larger than"):
        read_program(package)


@pytest.mark.parametrize("path", ["../../secret", "/etc/passwd", "a\0b", "x" * 5000, "nothing", ".", ""])
def test_a_manifest_that_leads_elsewhere_is_refused(package: Path, path: str) -> None:
    (package.parent / "secret").write_bytes(b"secret")
    manifest = json.loads((package / "Manifest.json").read_text())
    manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = path
    (package / "Manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="leads out of the package|has no file|is not a path"):
        model_file(package)


@pytest.mark.parametrize("place", [MODEL, WEIGHTS])
def test_a_link_that_leads_elsewhere_is_refused(package: Path, place: Path) -> None:
    outside = package.parent / "outside"
    shutil.move(package / place, outside)
    (package / place).symlink_to(outside)
    with pytest.raises(BundleError, match="leads out of the package"):
        read_program(package)


@pytest.mark.parametrize(
    "name", ["@model_path/../../../secret", "/etc/passwd", "weights/weight.bin", "@model_path/weights/none.bin", ""]
)
def test_weights_that_are_elsewhere_are_refused(package: Path, name: str) -> None:
    (package.parent / "secret").write_bytes(b"secret" * 100)

    def change(model: Any) -> None:
        weight_of(model).blobFileValue.fileName = name

    rewrite(package, change)
    with pytest.raises(BundleError, match="broken.mlpackage"):
        read_program(package)


@pytest.mark.parametrize("offset", [0, 1, 63, 65, 128, 4096, 2**31, 2**63, 2**64 - 1])
def test_an_offset_that_is_no_tensors_is_refused(package: Path, offset: int) -> None:
    def change(model: Any) -> None:
        weight_of(model).blobFileValue.offset = offset

    rewrite(package, change)
    with pytest.raises(BundleError, match="weight.bin: no tensor"):
        read_program(package)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (0, 0xDEADBEE0, "no tensor begins at 64"),
        (1, 1, "is float16, the program says float32"),
        (1, 99, "is type 99, the program says float32"),
        (2, 191, "has 191 bytes, 48 elements of float32 take 192"),
        (2, 2**64 - 1, "ends at"),
        (3, 2**64 - 64, "ends at"),
        (3, 10**6, "ends at"),
        (4, 8, "take 192"),
    ],
)
def test_an_entry_that_lies_is_refused(package: Path, field: int, value: int, message: str) -> None:
    content = bytearray((package / WEIGHTS).read_bytes())
    entry = list(struct.unpack_from("<IIQQQ", content, 64))
    entry[field] = value
    struct.pack_into("<IIQQQ", content, 64, *entry)
    (package / WEIGHTS).write_bytes(content)
    with pytest.raises(BundleError, match=f"weight.bin: .*{message}"):
        read_program(package)


@pytest.mark.parametrize("length", [0, 63, 64, 127, 128, 300])
def test_weights_that_end_early_are_refused(package: Path, length: int) -> None:
    content = (package / WEIGHTS).read_bytes()
    (package / WEIGHTS).write_bytes(content[:length])
    with pytest.raises(BundleError, match="weight.bin: "):
        read_program(package)


def test_weights_in_another_format_are_refused(package: Path) -> None:
    content = bytearray((package / WEIGHTS).read_bytes())
    struct.pack_into("<I", content, 4, 1)
    (package / WEIGHTS).write_bytes(content)
    with pytest.raises(BundleError, match="weights in format 1; this reads format 2"):
        read_program(package)


@pytest.mark.parametrize("sizes", [(4, 4, 4), (2**40, 2**40, 1), (48,), (2**63, 2, 1)])
def test_a_constant_of_another_size_is_refused(package: Path, sizes: tuple[int, ...]) -> None:
    def change(model: Any) -> None:
        kind = weight_of(model).type.tensorType
        del kind.dimensions[:]
        kind.rank = len(sizes)
        for size in sizes:
            kind.dimensions.add().constant.size = size

    rewrite(package, change)
    with pytest.raises(BundleError):
        run(package)


def test_a_rank_that_lies_is_refused(package: Path) -> None:
    def change(model: Any) -> None:
        weight_of(model).type.tensorType.rank = 7

    rewrite(package, change)
    with pytest.raises(BundleError, match="rank 7 with 3 dimensions"):
        read_program(package)


def test_immediate_values_that_lie_are_refused(package: Path) -> None:
    def change(model: Any) -> None:
        operation = next(
            operation
            for operation in block_of(model).operations
            if operation.type == "const"
            and operation.attributes["val"].immediateValue.tensor.WhichOneof("value") == "ints"
            and operation.attributes["val"].type.tensorType.rank == 1
        )
        operation.attributes["val"].immediateValue.tensor.ints.values.append(1)

    rewrite(package, change)
    with pytest.raises(BundleError, match="3 instead of 2 values|2 instead of 1 values"):
        read_program(package)


def test_a_value_that_nothing_gives_is_refused(package: Path) -> None:
    def change(model: Any) -> None:
        operation_of(model, "conv").inputs["x"].arguments[0].name = "nobody"

    rewrite(package, change)
    with pytest.raises(BundleError, match="conv mixed reads nobody, which nothing before it gives"):
        run(package)


def test_a_value_that_is_given_later_is_refused(package: Path) -> None:
    def change(model: Any) -> None:
        operation_of(model, "conv").inputs["x"].arguments[0].name = "y"

    rewrite(package, change)
    with pytest.raises(BundleError, match="conv mixed reads y, which nothing before it gives"):
        run(package)


def test_a_value_that_is_given_twice_is_refused(package: Path) -> None:
    def change(model: Any) -> None:
        operation_of(model, "conv").outputs[0].name = "a"

    rewrite(package, change)
    with pytest.raises(BundleError, match="conv a: a is there already"):
        run(package)


def test_a_result_that_is_not_what_the_program_says_is_refused(package: Path) -> None:
    def change(model: Any) -> None:
        operation_of(model, "conv").outputs[0].type.tensorType.dimensions[2].constant.size = 9

    rewrite(package, change)
    with pytest.raises(BundleError, match=r"conv mixed: gives .*\[1, 4, 8\], the program says float32\[1, 4, 9\]"):
        run(package)


def test_a_result_that_is_larger_than_any_is_refused_before_it_is_made(package: Path) -> None:
    def change(model: Any) -> None:
        operation_of(model, "conv").outputs[0].type.tensorType.dimensions[2].constant.size = 2**40

    rewrite(package, change)
    with pytest.raises(BundleError, match="conv mixed: gives .*, larger than any tensor"):
        run(package)


def test_a_block_that_gives_nothing_known_is_refused(package: Path) -> None:
    def change(model: Any) -> None:
        block_of(model).outputs[0] = "nobody"

    rewrite(package, change)
    with pytest.raises(BundleError, match="nobody"):
        run(package)


def test_a_block_for_another_opset_is_refused(package: Path) -> None:
    def change(model: Any) -> None:
        model.mlProgram.functions["main"].opset = "CoreML99"

    rewrite(package, change)
    with pytest.raises(BundleError, match="function main has no block for its opset 'CoreML99'"):
        read_program(package)


def test_a_model_of_another_kind_is_refused(package: Path) -> None:
    def change(model: Any) -> None:
        model.neuralNetwork.SetInParent()

    rewrite(package, change)
    with pytest.raises(BundleError, match="model.mlmodel: holds neuralNetwork, not an ML program"):
        read_program(package)


def test_blocks_within_blocks_without_end_are_refused(package: Path) -> None:
    def change(model: Any) -> None:
        block = block_of(model)
        for _ in range(60):
            operation = block.operations.add(type="cond")
            block = operation.blocks.add()

    model = proto.Model_pb2.Model.FromString((package / MODEL).read_bytes())
    change(model)
    (package / MODEL).write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="model.mlmodel: not a Core ML model"):
        read_program(package)


def test_an_image_as_the_input_is_not_supported(package: Path) -> None:
    def change(model: Any) -> None:
        model.description.input[0].type.imageType.width = 8

    rewrite(package, change)
    with pytest.raises(UnsupportedError, match="the input a is a imageType"):
        Interpreter(package, 1).run({"a": np.ones((1, 4, 8), np.float32)})


def test_a_model_that_ends_early_is_refused_wherever_it_ends(package: Path) -> None:
    content = (package / MODEL).read_bytes()
    for length in range(0, len(content), 7):
        (package / MODEL).write_bytes(content[:length])
        with pytest.raises(VoxcError):
            run(package)


@settings(max_examples=150, deadline=None)
@given(places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_model_with_wrong_bytes_is_refused_or_runs(whole: Path, places: list[tuple[float, int]]) -> None:
    content = bytearray((whole / MODEL).read_bytes())
    for place, byte in places:
        content[int(place * len(content))] = byte
    with tempfile.TemporaryDirectory() as folder:
        package = Path(shutil.copytree(whole, Path(folder) / "wrong.mlpackage"))
        (package / MODEL).write_bytes(content)
        try:
            run(package)
        except VoxcError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("bits", "signed", "raw", "values"),
    [
        (4, True, [0x8F], [-1, -8]),
        (4, False, [0x8F], [15, 8]),
        (1, False, [0b0110], [0, 1, 1, 0]),
        (2, False, [0b11_10_01_00], [0, 1, 2, 3]),
        (3, False, [0b10_001_000, 0b1_101_100_0], [0, 1, 2, 4, 5]),
        (6, False, [0b11_000001, 0b0000], [1, 3]),
    ],
)
def test_integers_are_unpacked_from_the_least_bit_on(
    bits: int, signed: bool, raw: list[int], values: list[int]
) -> None:
    found = unpack(np.array(raw, np.uint8), bits, len(values), signed)
    assert found.dtype == (np.int8 if signed else np.uint8)
    assert found.tolist() == values


def test_bfloat16_comes_as_float32() -> None:
    halves = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype("<u2")
    assert decode(halves.view(np.uint8), "bfloat16", (2,)).tolist() == [1.5, -2.0]


def test_reading_weights_copies_none_before_they_are_asked_for(package: Path) -> None:
    file = BlobFile(package / WEIGHTS)
    assert isinstance(file.locate(64, "float32", 48), np.memmap)
