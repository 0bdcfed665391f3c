from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.backends.coreml.interpret.harness import ct, mb, quiet, save_program, types
from tests.backends.coreml.packages import (
    ConvNet,
    Recurrent,
    Transformer,
    UNet,
    Vocoder,
    convert,
    integers,
    network,
    reals,
    save,
)
from voxc.backends.coreml.interpret import routine
from voxc.backends.coreml.interpreter import Interpreter
from voxc.backends.coreml.package import read_program
from voxc.compiler.core.errors import BundleError, TensorError, UnsupportedError
from voxc.compiler.core.tensor import Array

NETWORKS = (ConvNet, Transformer, Recurrent, UNet, Vocoder)


def snr(expected: Array, found: Array) -> float:
    """In dB."""
    noise = np.square(expected.astype(np.float64) - found).sum()
    return float(10 * np.log10(np.square(expected.astype(np.float64)).sum() / noise)) if noise else np.inf


def expected_of(module: nn.Module, x: torch.Tensor) -> Array:
    with torch.no_grad():
        return module(x).numpy()


def types_in(package: Path) -> set[str]:
    return {operation.type for operation in read_program(package).main.block.operations}


@pytest.mark.parametrize("opset", ["iOS15", "iOS18"])
@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_what_coremltools_converts_gives_what_the_network_gives(
    kind: type[nn.Module], opset: str, tmp_path: Path
) -> None:
    module, x = network(kind)
    expected = expected_of(module, x)
    found = Interpreter(save(convert(module, x, opset), tmp_path), 1).run({"x": x.numpy()})["y"]
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("kind", NETWORKS, ids=lambda kind: kind.__name__)
def test_in_float16_it_is_off_by_float16_and_no_more(kind: type[nn.Module], tmp_path: Path) -> None:
    module, x = network(kind)
    expected = expected_of(module, x)
    package = save(convert(module, x, half=True), tmp_path)
    found = Interpreter(package, 1).run({"x": x.numpy()})["y"]
    assert found.dtype == np.float16
    assert 55 < snr(expected, found) < 90


def test_a_sum_in_float16_is_rounded_at_every_operation(tmp_path: Path) -> None:
    def build(a: Any) -> Any:
        for _ in range(4):
            a = mb.add(x=a, y=np.float16(2**-11))
        return a

    @mb.program(input_specs=[mb.TensorSpec((1,), types.fp16)], opset_version=ct.target.iOS17)
    def program(a: Any) -> Any:
        return mb.identity(x=build(a), name="y")

    package = save_program(program, tmp_path, "iOS17")
    found = Interpreter(package, 1).run({"a": np.ones(1, np.float16)})["y"]
    assert found == 1  # each step is half of the spacing at 1, and goes to the even neighbour


COMPRESSED = {
    "int8": ("iOS17", "constexpr_affine_dequantize", lambda model: linear(model, dtype="int8")),
    "uint8, asymmetric": (
        "iOS16", "constexpr_affine_dequantize", lambda model: linear(model, dtype="uint8", mode="linear"),
    ),
    "4-bit palette": ("iOS17", "constexpr_lut_to_dense", lambda model: palette(model, nbits=4)),
    "6-bit palette": ("iOS16", "constexpr_lut_to_dense", lambda model: palette(model, nbits=6)),
    "3-bit palettes of groups": (
        "iOS18", "constexpr_lut_to_dense",
        lambda model: palette(model, nbits=3, granularity="per_grouped_channel", group_size=4),
    ),
    "4-bit blocks": (
        "iOS18", "constexpr_blockwise_shift_scale",
        lambda model: linear(model, dtype="int4", granularity="per_block", block_size=8),
    ),
    "sparse": ("iOS16", "constexpr_sparse_to_dense", lambda model: sparse(model)),
}  # fmt: skip


def linear(model: Any, **options: Any) -> Any:
    from coremltools.optimize.coreml import OpLinearQuantizerConfig, OptimizationConfig, linear_quantize_weights

    config = OpLinearQuantizerConfig(**({"mode": "linear_symmetric"} | options), weight_threshold=0)
    return linear_quantize_weights(model, OptimizationConfig(global_config=config))


def palette(model: Any, **options: Any) -> Any:
    from coremltools.optimize.coreml import OpPalettizerConfig, OptimizationConfig, palettize_weights

    config = OpPalettizerConfig(mode="uniform", weight_threshold=0, **options)
    return palettize_weights(model, OptimizationConfig(global_config=config))


def sparse(model: Any) -> Any:
    from coremltools.optimize.coreml import OpMagnitudePrunerConfig, OptimizationConfig, prune_weights

    config = OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=0)
    return prune_weights(model, OptimizationConfig(global_config=config))


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("kind", COMPRESSED)
def test_compressed_weights_are_what_coremltools_decompresses_them_to(kind: str, half: bool, tmp_path: Path) -> None:
    from coremltools.optimize.coreml import decompress_weights

    opset, operation, compress = COMPRESSED[kind]
    module, x = network(Transformer)
    with quiet():
        small = compress(convert(module, x, opset, half))
        package = save(small, tmp_path)
        (tmp_path / "dense").mkdir()
        dense = save(decompress_weights(small), tmp_path / "dense")
    assert operation in types_in(package)
    assert not any(name.startswith("constexpr") for name in types_in(dense))
    found, expected = (Interpreter(each, 1).run({"x": x.numpy()})["y"] for each in (package, dense))
    np.testing.assert_array_equal(found, expected)
    weight, whole = (sum(file.stat().st_size for file in each.rglob("*")) for each in (package, dense))
    assert weight < 0.8 * whole
    assert snr(expected_of(module, x), found.astype(np.float32)) > 5


def test_shapes_may_be_listed(tmp_path: Path) -> None:
    module, x = network(Vocoder)
    shapes = ct.EnumeratedShapes([(1, 1, 40), (1, 1, 60)], default=(1, 1, 40))
    interpreter = Interpreter(save(convert(module, x, shape=shapes), tmp_path), 1)
    for frames in (40, 60):
        x = reals((1, 1, frames), 2)
        np.testing.assert_allclose(interpreter.run({"x": x.numpy()})["y"], expected_of(module, x), atol=1e-5)
    with pytest.raises(TensorError, match=r"takes x \[1, 1, 40\] or \[1, 1, 60\], not x \[1, 1, 50\]"):
        interpreter.run({"x": reals((1, 1, 50), 2).numpy()})


def test_sizes_may_be_free_within_limits(tmp_path: Path) -> None:
    module, x = network(Transformer)
    module.places.weight.data = module.places.weight.data[:12]
    shape = ct.Shape((1, ct.RangeDim(4, 12, default=12)))
    interpreter = Interpreter(save(convert(module, x, shape=shape), tmp_path), 1)
    np.testing.assert_allclose(interpreter.run({"x": x.numpy()})["y"], expected_of(module, x), atol=1e-5)
    with pytest.raises(TensorError, match=r"takes x \[1, 4..12\], not x \[1, 13\]"):
        interpreter.run({"x": integers((1, 13), 0, 50).numpy()})


def two_functions(tmp_path: Path) -> Path:
    module, _ = network(Vocoder)
    descriptor = ct.utils.MultiFunctionDescriptor()
    for frames in (40, 60):
        folder = tmp_path / str(frames)
        folder.mkdir()
        part = save(convert(module, reals((1, 1, frames), 3), "iOS18"), folder)
        descriptor.add_function(str(part), "main", f"frames_{frames}")
    descriptor.default_function_name = "frames_40"
    package = tmp_path / "both.mlpackage"
    with quiet():
        ct.utils.save_multifunction(descriptor, str(package))
    return package


def test_a_function_is_picked_by_its_shapes_or_by_name(tmp_path: Path) -> None:
    package = two_functions(tmp_path)
    module, _ = network(Vocoder)
    x, y = reals((1, 1, 40), 4), reals((1, 1, 60), 4)
    interpreter = Interpreter(package, 1)
    for each in (x, y):
        np.testing.assert_allclose(interpreter.run({"x": each.numpy()})["y"], expected_of(module, each), atol=1e-5)
    longer = Interpreter(package, 1, "frames_60")
    np.testing.assert_allclose(longer.run({"x": y.numpy()})["y"], expected_of(module, y), atol=1e-5)
    with pytest.raises(TensorError, match=r"takes x \[1, 1, 60\], not x \[1, 1, 40\]"):
        longer.run({"x": x.numpy()})
    assert [function.name for function in interpreter.functions] == ["frames_40", "frames_60"]
    with pytest.raises(BundleError, match="no function frames_50, only frames_40, frames_60"):
        Interpreter(package, 1, "frames_50")


def test_functions_share_the_weights_that_they_read(tmp_path: Path) -> None:
    interpreter = Interpreter(two_functions(tmp_path), 1)
    before = len(interpreter.preparer.read)
    interpreter.run({"x": reals((1, 1, 60), 4).numpy()})
    assert len(interpreter.preparer.read) == before


def test_inputs_must_be_those_that_it_takes(tmp_path: Path) -> None:
    module, x = network(Transformer)
    interpreter = Interpreter(save(convert(module, x), tmp_path), 1)
    expected = interpreter.run({"x": x.numpy()})["y"]
    np.testing.assert_array_equal(interpreter.run({"x": x.numpy().astype(np.int64)})["y"], expected)
    with pytest.raises(TensorError, match=r"takes x \[1, 12\], not z \[1, 12\]"):
        interpreter.run({"z": x.numpy()})
    with pytest.raises(TensorError, match="x: the int64 values do not fit int32"):
        interpreter.run({"x": x.numpy().astype(np.int64) + 2**40})
    with pytest.raises(TensorError, match="x: the float64 values do not fit int32"):
        interpreter.run({"x": x.numpy() + 0.5})
    with pytest.raises(BundleError, match=r"model.mlpackage: gather .*: indices beyond the 50 elements"):
        interpreter.run({"x": x.numpy() + 50})


def test_an_input_is_left_as_it_was(tmp_path: Path) -> None:
    @mb.program(input_specs=[mb.TensorSpec((3,), types.fp32)], opset_version=ct.target.iOS17)
    def program(a: Any) -> Any:
        return mb.identity(x=a, name="y")

    interpreter = Interpreter(save_program(program, tmp_path, "iOS17"), 1)
    x = np.ones(3, np.float32)
    found = interpreter.run({"a": x})["y"]
    found += 1
    np.testing.assert_array_equal(x, np.ones(3, np.float32))


def test_what_a_run_gives_may_be_changed(tmp_path: Path) -> None:
    @mb.program(input_specs=[mb.TensorSpec((3,), types.fp32)], opset_version=ct.target.iOS17)
    def program(a: Any) -> Any:
        return mb.identity(x=a, name="y"), mb.const(val=np.arange(3, dtype=np.float32), name="z")

    interpreter = Interpreter(save_program(program, tmp_path, "iOS17"), 1)
    x = np.ones(3, np.float32)
    for _ in range(2):
        found = interpreter.run({"a": x})
        assert found["z"].tolist() == [0, 1, 2]
        found["z"] += 1


def test_an_unknown_operation_is_named_with_its_place(tmp_path: Path) -> None:
    @mb.program(input_specs=[mb.TensorSpec((3,), types.fp32)], opset_version=ct.target.iOS17)
    def program(a: Any) -> Any:
        return mb.add(x=a, y=mb.random_normal(shape=[3], name="drawn"), name="y")

    package = save_program(program, tmp_path, "iOS17")
    with pytest.raises(UnsupportedError, match="test.mlpackage: random_normal drawn: .* no such operation"):
        Interpreter(package, 1)


def test_values_are_freed_after_their_last_use(tmp_path: Path) -> None:
    module, x = network(ConvNet)
    interpreter = Interpreter(save(convert(module, x), tmp_path), 1)
    prepared = interpreter.routines["main"]
    held: dict[str, Any] = {"x": x}
    most = 0
    for step in prepared.steps:
        step.run(held)
        most = max(most, len(held))
    assert set(held) == {"y"}
    assert most < 5 < len(prepared.steps)


def test_as_many_threads_as_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = network(Vocoder)
    interpreter = Interpreter(save(convert(module, x), tmp_path), 2)
    seen = []
    monkeypatch.setattr(routine.Routine, "run", lambda self, values: seen.append(torch.get_num_threads()) or [x])
    before = torch.get_num_threads()
    interpreter.run({"x": x.numpy()})
    assert seen == [2]
    assert torch.get_num_threads() == before
