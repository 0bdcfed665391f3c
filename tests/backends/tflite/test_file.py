from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from voxc.backends.tflite import file as module
from voxc.backends.tflite.file import OPTIONS, Quantization, TfliteFile
from voxc.backends.tflite.versions import RELEASES, RULES, Signature, oldest_runtime, version_of
from voxc.compiler.core.errors import UnsupportedError


def small() -> bytes:
    file = TfliteFile("graph")
    x = file.tensor("x", (2, 3), "float32")
    total = file.tensor("block.1/add", (2, 3), "float32")
    once, again = (file.constant(np.ones((2, 3), np.float32), name) for name in ("block.1.bias", "other"))
    assert once is again
    file.operator("ADD", [x, once], [total])
    file.operator("CONCATENATION", [total, again], [y := file.tensor("y", (4, 3), "float32")], axis=0)
    return bytes(file.pack({"x": x}, {"y": y}))


def test_what_is_in_the_bytes() -> None:
    model = schema.ModelT.InitFromPackedBuf(small())
    (graph,) = model.subgraphs
    assert [tensor.name for tensor in graph.tensors] == [b"x", b"block.1/add", b"block.1.bias", b"y"]
    assert [model.operatorCodes[operator.opcodeIndex].builtinCode for operator in graph.operators] == [0, 2]
    assert (model.version, graph.inputs, graph.outputs) == (3, [0], [3])
    (signature,) = model.signatureDefs
    assert [(each.name, each.tensorIndex) for each in signature.inputs + signature.outputs] == [(b"x", 0), (b"y", 3)]
    (metadata,) = model.metadata
    assert metadata.name == b"min_runtime_version"
    assert bytes(model.buffers[metadata.buffer].data) == b"1.5.0".ljust(16, b"\0")


def test_the_same_calls_give_the_same_bytes() -> None:
    assert small() == small()


def test_constants_start_where_kernels_can_load_them() -> None:
    content = small()
    assert content.index(np.ones(6, np.float32).tobytes()) % 16 == 0


def test_constants_that_do_not_fit_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is lowered: what a 2 GiB voice would meet, a small one meets here."""
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    file = TfliteFile("synthesizer")
    file.constant(np.zeros(25, np.float32))
    with pytest.raises(UnsupportedError, match="synthesizer: more than .* of constants do not fit a TFLite file"):
        file.constant(np.zeros(1, np.float32))


def test_scales_keep_constants_apart() -> None:
    file = TfliteFile("graph")
    array = np.ones(3, np.int8)
    assert file.constant(array, quantization=Quantization((0.1,))) != file.constant(array)


def test_every_operator_has_a_release_for_each_of_its_versions() -> None:
    assert RULES.keys() | OPTIONS.keys() <= RELEASES.keys()
    for code, rules in RULES.items():
        assert {version for version, _ in rules} <= RELEASES[code].keys(), code
    assert all(hasattr(schema.BuiltinOperator, code) for code in RELEASES)


@pytest.mark.parametrize(
    ("code", "shapes", "dtypes", "options", "version"),
    [
        ("ADD", [(1, 4), (1, 4)], ("float32", "float32"), {}, 1),
        ("ADD", [(1, 4), (1, 4)], ("int64", "int64"), {}, 4),
        ("SUB", [(1, 1, 1, 1, 4), (1, 4)], ("float32", "float32"), {}, 3),
        ("TRANSPOSE", [(1, 2, 3, 4, 5)], ("int8",), {}, 4),
        ("TRANSPOSE", [(1, 2, 3)], ("int8",), {}, 2),
        ("CONV_2D", [(1, 1, 9, 8), (4, 1, 3, 8)], ("float32", "float32"), {}, 1),
        ("CONV_2D", [(1, 1, 9, 8), (4, 1, 3, 4)], ("float32", "float32"), {}, 6),
        ("CONV_2D", [(1, 1, 9, 8), (4, 1, 3, 8)], ("float32", "int8"), {}, 2),
        ("GATHER", [(1, 4), (1, 2)], ("float32", "int64"), {"batchDims": 1}, 5),
        ("DEQUANTIZE", [(4,)], ("float16",), {}, 3),
        ("BROADCAST_TO", [(4,), (2,)], ("float32", "int32"), {}, 2),
    ],
)
def test_the_oldest_version_that_does_it(
    code: str, shapes: list[tuple[int, ...]], dtypes: tuple[str, ...], options: dict[str, int], version: int
) -> None:
    file = TfliteFile("graph")
    inputs = tuple(file.tensor("x", shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True))
    call = Signature(inputs, (file.tensor("y", shapes[0], "float32"),), options)
    assert version_of(code, call) == version


def test_integer_products_that_grow_are_of_a_later_version() -> None:
    file = TfliteFile("graph")
    x, y, small, large = (file.tensor("x", (4,), "int8", Quantization((scale,))) for scale in (0.5, 0.5, 0.1, 1.0))
    assert [version_of("MUL", Signature((x, y), (result,), {})) for result in (small, large)] == [3, 2]


def test_releases_are_compared_as_numbers() -> None:
    assert oldest_runtime([("ADD", 1), ("BROADCAST_TO", 2), ("ABS", 1)]) == "2.5.0"
    assert oldest_runtime([("ABS", 1), ("ADD", 2), ("SLICE", 1), ("POW", 1)]) == "1.14.0"
    assert oldest_runtime([]) == "1.5.0"
