from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from coremltools.converters.mil.frontend.milproto import load as milproto
from coremltools.libmodelpackage import ModelPackage
from torch import nn

from tests.backends.coreml.harness import FULL, HALF, component_for, emit, program_for
from voxc.backends.coreml.sdk import ct
from voxc.compiler.core.plan import PrecisionPlan

INT4 = PrecisionPlan(default="fp16", nodes={"convolution": "int4"})


@pytest.mark.parametrize("deployment", ["iOS17", "iOS18"])
@pytest.mark.parametrize("plan", [FULL, HALF, INT4], ids=["float32", "float16", "int4"])
def test_coremltools_reads_it_and_infers_the_same_types(tmp_path: Path, plan: PrecisionPlan, deployment: str) -> None:
    """Its readers are not its writers: one opens the package, the other makes a program of the protobuf again."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(4, 40, 3), nn.GELU(), nn.GroupNorm(4, 40))
    package = emit(tmp_path, program_for(component_for(network, (1, 4, "T")), plan), deployment)
    assert ModelPackage.isValid(str(package))
    model = ct.utils.load_spec(str(package))
    weights = next(package.rglob("weight.bin")).parent
    program = milproto.load(model, model.specificationVersion, str(weights))
    described = model.mlProgram.functions["main"].block_specializations.popitem()[1].operations
    found = [each.op_type for each in program.functions["main"].operations if each.op_type != "const"]
    assert found == [each.type for each in described if each.type != "const"]
    assert [tuple(each.shape) for each in program.functions["main"].outputs] == [(1, 40, 10)]


def test_a_package_without_weights_lists_none(tmp_path: Path) -> None:
    package = emit(tmp_path, program_for(component_for(torch.sin, (1, "T"))))
    items = json.loads((package / "Manifest.json").read_text())["itemInfoEntries"].values()
    assert [item["path"] for item in items] == ["com.apple.CoreML/model.mlmodel"]
    assert ModelPackage.isValid(str(package))


def test_identifiers_are_made_of_paths(tmp_path: Path) -> None:
    one, other = (
        (emit(tmp_path / name, program_for(component_for(network, (1, "T")))) / "Manifest.json").read_text()
        for name, network in (("one", torch.sin), ("other", torch.cos))
    )
    assert one == other
