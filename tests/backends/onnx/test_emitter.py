from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from tests.backends.test_blackbox import NETWORKS
from tests.passes.harness import FRAMES, component_of, program_of
from voxc.backends.onnx import emitter
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.backends.onnxruntime.backend import OnnxRuntimeBackend
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.core.program import export
from voxc.compiler.core.target import Target
from voxc.passes.pipeline import pipeline


class Spectrum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Sorted()

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.inner(x))


class Sorted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sort(x, -1).values


def emitted(component: Component, target: Target, folder: Path) -> Path:
    program = export(component, {"T": FRAMES}, dynamic=False)
    for compiler_pass in pipeline(target):
        program = compiler_pass(program, target).program
    (file,) = emitter.emit(program, target.opset, folder / "test.onnx")
    return file


def test_names_lead_back_to_the_voice(tmp_path: Path, synthesizer: Component, target: Target) -> None:
    model = onnx.load(emitted(synthesizer, target, tmp_path))
    assert [value.name for value in model.graph.input] == [spec.name for spec in synthesizer.inputs + synthesizer.noise]
    assert [value.name for value in model.graph.output] == ["audio"]
    assert any(node.name.startswith("dec.resblocks.0.convs1.0/") for node in model.graph.node)
    assert "dec.conv_pre.weight" in {tensor.name for tensor in model.graph.initializer}
    assert model.opset_import[0].version == target.opset


def test_emission_is_repeatable(tmp_path: Path, synthesizer: Component, target: Target) -> None:
    first = emitted(synthesizer, target, tmp_path).read_bytes()
    assert emitted(synthesizer, target, tmp_path).read_bytes() == first


def test_dynamic_sizes_have_names(tmp_path: Path, target: Target) -> None:
    module, shapes = NETWORKS["convolutions"]
    program = export(component_of(module, *shapes), {"T": FRAMES}, dynamic=True)
    (file,) = emitter.emit(program, target.opset, tmp_path / "test.onnx")
    model = onnx.load(file)
    assert model.graph.input[0].type.tensor_type.shape.dim[2].dim_param == "T"


def test_an_operator_without_lowering_is_named_with_its_place(tmp_path: Path, target: Target) -> None:
    program = program_of(Spectrum(), (2, 3))
    with pytest.raises(UnsupportedError, match="aten.sort.default"):
        OnnxRuntimeBackend().check(program, target)
    with pytest.raises(UnsupportedError, match=r"opset 20: aten.sort.default in inner \(node sort, test_emitter"):
        emitter.emit(program, target.opset, tmp_path / "test.onnx")


def test_large_weights_go_to_a_file_of_their_own(
    tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is lowered: what a 2 GiB voice would meet, a small one meets here."""
    module, shapes = NETWORKS["convolutions"]
    component = component_of(module, *shapes)
    program = export(component, {"T": FRAMES}, dynamic=False)
    inline = OnnxRuntimeBackend().emit(program, target, tmp_path)
    expected = OnnxRuntimeRunner(inline.files[0], 1).run(component.reference_inputs({"T": FRAMES}))["y"]
    monkeypatch.setattr(emitter, "MOST_INLINE_BYTES", 100)
    monkeypatch.setattr(emitter, "LEAST_EXTERNAL_BYTES", 64)
    (tmp_path / "external").mkdir()
    external = OnnxRuntimeBackend().emit(program, target, tmp_path / "external")
    assert [file.name for file in external.files] == ["test.onnx", "test.onnx.data"]
    assert external.files[1].stat().st_size > 0
    found = OnnxRuntimeRunner(external.files[0], 1).run(component.reference_inputs({"T": FRAMES}))["y"]
    torch.testing.assert_close(torch.from_numpy(found), torch.from_numpy(expected), atol=1e-6, rtol=0)
