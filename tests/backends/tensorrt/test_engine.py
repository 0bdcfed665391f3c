"""What can be seen of engines without a GPU: flags, constraints, identities, and the order of what a runner does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from voxc.backends.tensorrt.engine import EngineRunner, Identity, constrain, read_identity, set_flags
from voxc.backends.tensorrt.precisions import Precisions
from voxc.compiler.errors import BundleError, TensorError

TRT = SimpleNamespace(
    float32="float32", float16="float16", int32="int32",
    LayerType=SimpleNamespace(CONSTANT="constant", SHAPE="shape", QUANTIZE="q", DEQUANTIZE="dq", CONVOLUTION="conv"),
    BuilderFlag=SimpleNamespace(FP16="fp16", INT8="int8", TF32="tf32", OBEY_PRECISION_CONSTRAINTS="obey"),
    TensorIOMode=SimpleNamespace(INPUT="in", OUTPUT="out"),
)  # fmt: skip
RECIPE = Precisions(component="c", tensorrt=None, opset=13, default="fp16", layers={"sin": "fp32", "conv": "fp16"})


@dataclass
class Layer:
    name: str
    type: str = "conv"
    dtype: str = "float32"
    precision: str = ""
    types: dict[int, str] = field(default_factory=dict)
    num_outputs: int = 1

    def get_output(self, place: int) -> Any:
        return SimpleNamespace(dtype=self.dtype)

    def set_output_type(self, place: int, kind: str) -> None:
        self.types[place] = kind


def network(*layers: Layer) -> Any:
    return SimpleNamespace(num_layers=len(layers), get_layer=lambda index: layers[index])


def test_only_what_the_recipe_holds_is_held() -> None:
    layers = [
        Layer("sin"), Layer("sin_4"), Layer("conv"), Layer("(Unnamed Layer* 3) [Shuffle]"),
        Layer("sin_5", type="constant"), Layer("sin_6", dtype="int32"),
    ]  # fmt: skip
    assert constrain(TRT, network(*layers), RECIPE) == ["sin", "sin_4"]
    assert [layer.precision for layer in layers] == ["float32", "float32", "", "", "", ""]
    assert layers[0].types == {0: "float32"}


def test_nothing_is_held_where_all_is_float32() -> None:
    whole = RECIPE.model_copy(update={"default": "fp32", "layers": {"sin": "fp32"}})
    assert constrain(TRT, network(Layer("sin")), whole) == []


def test_layers_are_held_wherever_another_may_be_float16() -> None:
    exceptions = RECIPE.model_copy(update={"default": "fp32"})
    assert constrain(TRT, network(Layer("sin"), Layer("other"), Layer("conv")), exceptions) == ["sin", "other"]


@dataclass
class Config:
    flags: set[str]

    def set_flag(self, flag: str) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: str) -> None:
        self.flags.discard(flag)


@pytest.mark.parametrize(
    ("default", "layers", "flags"),
    [
        ("fp32", {}, {"obey"}),
        ("fp16", {"sin": "fp32"}, {"obey", "fp16"}),
        ("fp16", {"conv": "int8"}, {"obey", "fp16", "int8"}),
    ],
)
def test_flags(default: str, layers: dict[str, str], flags: set[str]) -> None:
    config = Config({"tf32"})  # which TensorRT sets by itself
    set_flags(TRT, config, RECIPE.model_copy(update={"default": default, "layers": layers}))
    assert config.flags == flags


HERE = Identity(tensorrt="8.6.1", gpu="A", compute_capability="8.7")


@pytest.mark.parametrize("change", [{"tensorrt": "10.3.0"}, {"gpu": "B"}, {"compute_capability": "5.3"}])
def test_engines_of_elsewhere_are_refused(change: dict[str, str]) -> None:
    HERE.check(HERE, Path("x.engine"))
    with pytest.raises(
        BundleError, match=r"x.engine: built for TensorRT .*; this machine has TensorRT 8.6.1, A \(8.7\)"
    ):
        HERE.check(HERE.model_copy(update=change), Path("x.engine"))


def test_identities_are_read_with_care(tmp_path: Path) -> None:
    file = tmp_path / "x.engine.json"
    file.write_text(json.dumps({**HERE.model_dump(), "sha256": "of the agent"}))
    assert read_identity(file) == HERE
    file.write_text("{}")
    with pytest.raises(BundleError, match="does not say where its engine was built"):
        read_identity(file)


class Engine:
    """y = 2 x + i, on buffers whose addresses it was told."""

    num_io_tensors = 3
    shapes = {"x": (2, 3), "i": (1,), "y": (2, 3)}  # noqa: RUF012

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}
        self.runs = 0

    def get_tensor_name(self, index: int) -> str:
        return list(self.shapes)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes[name]

    def get_tensor_dtype(self, name: str) -> str:
        return "int32" if name == "i" else "float32"

    def get_tensor_mode(self, name: str) -> str:
        return "out" if name == "y" else "in"

    def create_execution_context(self) -> Engine:
        return self

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        import ctypes

        self.runs += 1
        x, y = (ctypes.cast(self.addresses[name], ctypes.POINTER(ctypes.c_float)) for name in "xy")
        offset = ctypes.cast(self.addresses["i"], ctypes.POINTER(ctypes.c_int32))[0]
        for place in range(6):
            y[place] = 2 * x[place] + offset
        return self.runs < 3


def test_a_runner_keeps_its_buffers() -> None:
    engine, waited = Engine(), []
    stream = SimpleNamespace(cuda_stream=0, synchronize=lambda: waited.append(1))
    runner = EngineRunner.prepared(TRT, engine, torch.device("cpu"), stream)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for offset in (1, 5):  # 64 bits here, 32 in the engine
        found = runner.run({"x": x, "i": np.array([offset])})
        assert list(found) == ["y"]
        np.testing.assert_array_equal(found["y"], 2 * x + offset)
    assert len(waited) == 2
    with pytest.raises(TensorError, match="could not run"):
        runner.run({"x": x, "i": np.array([1])})
    with pytest.raises(TensorError, match=r"x of shape \(3, 2\): \(2, 3\) is wanted"):
        runner.run({"x": x.T})
    with pytest.raises(TensorError, match="z of shape .*: no such input"):
        runner.run({"z": x})
