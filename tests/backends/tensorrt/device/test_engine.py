from __future__ import annotations

import ctypes
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.compiler.device.kits import FRAMES, LONGEST, NANO, PRECISIONS, inputs_of, stand_in
from voxc.backends.tensorrt.device.builder import Builder
from voxc.backends.tensorrt.device.cuda import Cuda
from voxc.backends.tensorrt.device.design import Design
from voxc.backends.tensorrt.device.engine import Engine
from voxc.compiler.core.device_errors import BundleError

VERSIONS = ("8.2.1.8", "10.3.0")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_engine_takes_what_its_recipe_says(
    open_kit: Path, hardware: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """One engine on segments of several lengths, and a refusal of those beyond; a longer one leaves nothing behind."""
    trt = stand_in(monkeypatch, version)
    monkeypatch.setattr(Cuda, "opened", staticmethod(lambda: ctypes.CDLL(str(hardware / "libcudart.so"))))
    builder = Builder(trt, {**NANO, "tensorrt": version}, None)
    recipe = json.loads((open_kit / PRECISIONS).read_text())
    plan = builder.build(Design(open_kit / "synthesizer.onnx", recipe), 1 << 20, lambda message: None)
    engine = Engine(Cuda(), builder, builder.read(plan, Path("x.engine")))
    session = onnxruntime.InferenceSession(open_kit / "synthesizer.onnx")
    for frames in (LONGEST, 2, 17, FRAMES, LONGEST):
        inputs = inputs_of(open_kit, frames)
        found = engine(inputs)
        np.testing.assert_array_equal(found["audio"], session.run(["audio"], inputs)[0])
    for frames in (1, LONGEST + 1):
        with pytest.raises(BundleError, match=r"of shape \(1, \d+.*\): the engine takes \(1, 2.*\) to \(1, 40"):
            engine(inputs_of(open_kit, frames))
