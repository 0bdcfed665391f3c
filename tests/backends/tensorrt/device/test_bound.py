from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.compiler.device.kits import LONGEST, NANO, PRECISIONS, stand_in
from voxc.backends.tensorrt.device.bound import Bound
from voxc.backends.tensorrt.device.builder import Builder
from voxc.backends.tensorrt.device.design import Design
from voxc.compiler.core.device_errors import BundleError


@pytest.mark.parametrize("version", ["8.2.1.8", "10.3.0"])
def test_tensors_by_number_and_by_name(open_kit: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    builder = Builder(stand_in(monkeypatch, version), NANO, None)
    design = Design(open_kit / "synthesizer.onnx", json.loads((open_kit / PRECISIONS).read_text()))
    plan = builder.build(design, 1 << 20, lambda message: None)
    bound = Bound(builder, builder.read(plan, Path("x.engine")))
    assert bound.by_name == (version == "10.3.0")
    assert bound.outputs == ["audio"]
    assert set(bound.names) == {*bound.least, "audio"}
    assert (bound.least["phone"][1], bound.most["phone"][1]) == (2, LONGEST)
    assert bound.dtype("phone") == "float32"
    for name, least in bound.least.items():
        bound.fit(name, least)
    assert bound.shape("phone") == bound.least["phone"]
    longer = tuple(size + (size == LONGEST) for size in bound.most["phone"])
    with pytest.raises(BundleError, match=r"phone of shape .*: the engine takes \(1, 2, .*\) to \(1, 40, "):
        bound.fit("phone", longer)
    assert bound.shape("phone") == bound.least["phone"]
