from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.backends.coreml.harness import FULL, HALF, component_for, emit, error_of, gpu, program_for
from tests.passes.harness import FRAMES
from voxc.backends.coreml import emitter, sdk
from voxc.backends.coreml.backend import CoreMLBackend
from voxc.backends.coreml.interpreter import Interpreter
from voxc.backends.coreml.package import read_program
from voxc.backends.coreml.reader import count_operators
from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.core.plan import PrecisionPlan


class Layers(nn.Module):
    """Two layers, and something beside them that wants float32."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv1d(4, 40, 3, padding=1), nn.Conv1d(40, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x))) + torch.sin(x * 100)


SHAPE = (1, 4, "T")


def test_each_operator_computes_in_what_the_plan_says(tmp_path: Path) -> None:
    component = component_for(Layers(), SHAPE)
    program = program_for(component, PrecisionPlan(default="fp16", nodes={"mul": "fp32", "sin": "fp32"}))
    package = emit(tmp_path, program)
    assert count_operators(read_program(package)) == {
        "add": {"fp16": 1},
        "cast": {"fp16": 2, "fp32": 1},  # the input and the sine become float16, the output float32
        "conv": {"fp16": 2},
        "mul": {"fp32": 1},
        "relu": {"fp16": 1},
        "sin": {"fp32": 1},
    }
    assert error_of(program, package, component.reference_inputs({"T": FRAMES})) < 5e-3


def test_a_value_is_cast_once(tmp_path: Path) -> None:
    program = program_for(component_for(lambda x: torch.exp(x) + torch.tanh(x), SHAPE), HALF)
    assert count_operators(read_program(emit(tmp_path, program)))["cast"] == {"fp16": 1, "fp32": 1}


def test_an_island_is_worth_its_float32(tmp_path: Path) -> None:
    """The same with the sine in float16 is far off: its argument has steps of an eighth."""
    component = component_for(lambda x: torch.sin(x * 100), SHAPE)
    inputs = component.reference_inputs({"T": FRAMES})
    island = program_for(component, PrecisionPlan(default="fp16", nodes={"mul": "fp32", "sin": "fp32"}))
    errors = [
        error_of(program, emit(tmp_path / name, program), inputs)
        for name, program in (("island", island), ("half", program_for(component, HALF)))
    ]
    assert errors[0] < 1e-3 < 1e-2 < errors[1]


def test_weights_are_stored_in_what_they_are_used_in(tmp_path: Path) -> None:
    sizes = []
    for plan in (FULL, HALF):
        package = emit(tmp_path / plan.default, program_for(component_for(nn.Conv1d(4, 64, 63), (1, 4, 70)), plan))
        (weights,) = package.rglob("weight.bin")
        sizes.append(weights.stat().st_size)
    assert 1.9 < sizes[0] / sizes[1] <= 2


def test_equal_constants_are_stored_once(tmp_path: Path) -> None:
    table = torch.arange(4000.0).reshape(4, 1000)
    package = emit(tmp_path, program_for(component_for(lambda x: (x + table) * (table - x), (4, 1))))
    (weights,) = package.rglob("weight.bin")
    assert 16_000 < weights.stat().st_size < 17_000
    operations = read_program(package).main.block.operations
    assert sum(each.type == "const" and each.attributes["val"].stored > 0 for each in operations) == 1


def test_equal_programs_give_equal_bytes(tmp_path: Path) -> None:
    component = component_for(Layers(), SHAPE)
    contents = []
    for name in ("one", "other"):
        package = emit(tmp_path / name, program_for(component, HALF))
        contents.append({file.relative_to(package): file.read_bytes() for file in package.rglob("*") if file.is_file()})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 3


def test_operators_are_named_after_modules_and_outputs_after_their_specs(tmp_path: Path) -> None:
    component = component_for(Layers(), SHAPE)
    main = read_program(emit(tmp_path, program_for(component))).main
    assert [value.name for value in main.arguments] == ["x0"]
    assert list(main.block.outputs) == ["y"]
    assert [each.name for each in main.block.operations if each.type == "conv"] == [
        "function_first__convolution",
        "function_second__convolution_1",
    ]


@pytest.mark.parametrize(
    "network", [lambda x: x.clone(), lambda x: x[:], lambda x: torch.full_like(x, 0.5)], ids=["x", "all", "constant"]
)
def test_outputs_that_nothing_computes(tmp_path: Path, network: object) -> None:
    component = component_for(network, SHAPE)  # type: ignore[arg-type]
    program = program_for(component)
    assert error_of(program, emit(tmp_path, program), component.reference_inputs({"T": FRAMES})) == 0


def test_several_lengths_are_functions_with_common_weights(tmp_path: Path) -> None:
    component = component_for(Layers(), SHAPE, output=SHAPE)
    programs = [program_for(component, HALF, frames) for frames in (FRAMES, 8, 20)]
    package, alone = tmp_path / "several.mlpackage", emit(tmp_path, programs[0])
    emitter.emit(programs[0], gpu(), package, programs[1:])
    read = read_program(package)
    assert sorted(read.functions) == ["frames_12", "frames_20", "frames_8"]
    assert (read.default, read.version) == ("frames_12", sdk.opset("iOS18").value)
    sizes = [next(each.rglob("weight.bin")).stat().st_size for each in (alone, package)]
    assert sizes[0] == sizes[1]
    for program, frames in zip(programs, (FRAMES, 8, 20), strict=True):
        inputs = component.reference_inputs({"T": frames})
        expected = program.run({name: torch.from_numpy(array) for name, array in inputs.items()})["y"].numpy()
        found = Interpreter(package, 1).run(inputs)["y"]
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 0.1


def test_one_length_keeps_the_deployment_of_the_target(tmp_path: Path) -> None:
    program = program_for(component_for(Layers(), SHAPE))
    assert read_program(emit(tmp_path, program)).version == sdk.opset("iOS17").value


def test_an_operator_without_a_lowering_is_named_with_its_module(tmp_path: Path) -> None:
    class Strange(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Softshrink()

        def forward(self, x: Tensor) -> Tensor:
            return torch.special.bessel_j0(x)

    program = program_for(component_for(Strange(), SHAPE))
    assert [node.name for node in CoreMLBackend().unsupported(program)] == ["special_bessel_j0"]
    with pytest.raises(UnsupportedError, match=r"Core ML: aten.special_bessel_j0.default in function \(node special_"):
        emit(tmp_path, program)


def test_what_coremltools_refuses_is_told_with_its_reason(tmp_path: Path) -> None:
    def network(x: Tensor) -> Tensor:
        return torch.topk(x, 2, 1)[0]

    program = program_for(component_for(network, (1, 4)))
    (node,) = [each for each in program.graph.nodes if "topk" in each.name]
    node.args = (node.args[0], 9, 1)
    with pytest.raises(UnsupportedError, match="coremltools refuses topk"):
        emit(tmp_path, program)


def test_nothing_is_printed_warned_or_logged(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    program = program_for(component_for(Layers(), SHAPE), HALF)
    recwarn.clear()
    capfd.readouterr()
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        emit(tmp_path, program)
    logged = [record for record in caplog.records if record.name.startswith(sdk.LOGGER)]
    assert (errors.getvalue(), *capfd.readouterr(), logged, len(recwarn)) == ("", "", "", [], 0)
    assert not logging.getLogger(sdk.LOGGER).disabled
