from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.compiler.device.kits import NANO, layers_of, stand_in
from voxc.backends.tensorrt.device.builder import Builder
from voxc.backends.tensorrt.device.design import Design


def test_layers_are_held_wherever_another_may_be_float16(kit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = Builder(stand_in(monkeypatch, "8.2.1.8"), NANO, None)
    first, *others = (node.name for node in layers_of(kit) if node.op_type == "Conv")
    design = Design(kit / "synthesizer.onnx", {"default": "fp32", "layers": {first: "fp16"}})
    plan = builder.build(design, 1 << 20, lambda message: None)
    held = json.loads(bytes(plan).split(b"\n")[1])["held"]
    assert first not in held
    assert set(others) <= held.keys()


@pytest.mark.parametrize(
    ("free", "memory_mib", "workspace"),
    [(1000, None, 500), (3000, 4096, 1024), (1000, 4096, 500), (100, None, 128), (100, 4096, 128)],
)
def test_workspace_is_half_of_what_is_free_and_a_quarter_of_all(
    free: int, memory_mib: int | None, workspace: int
) -> None:
    assert Builder.workspace(free << 20, memory_mib) == workspace << 20


def test_warnings_go_on_and_errors_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    trt = stand_in(monkeypatch, "8.2.1.8")
    builder = Builder(trt, NANO, None, warnings.append)
    builder.logger.log(trt.ILogger.Severity.WARNING, "slow")
    builder.logger.log(trt.ILogger.Severity.ERROR, "no\nkernel")
    assert warnings == ["slow", "no\nkernel"]
    assert builder.errors() == "no kernel"
    assert builder.errors() == "it does not say why"
