"""ONNX Runtime on an x86 CPU without VNNI, whose kernels add two products of int8 in 16 bits, where they saturate."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.backends.onnx.test_quantization import BLOCKS, quantized
from tests.passes.harness import tensors_for
from voxc.backends import find_backend
from voxc.backends.onnx.emitter import emit
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.target import load_targets
from voxc.compiler.device.pack import NAME, pack

HASWELL = ["qemu-x86_64", "-cpu", "Haswell", sys.executable]
# A value that rounds the other way leaves more, saturation less. In dB.
SAME = 40
# No import of voxc: what is emulated takes a hundred times as long.
RUN_ALL = """
import sys
from pathlib import Path
import numpy, onnxruntime
folder = Path(sys.argv[1])
inputs = dict(numpy.load(folder / "inputs.npz"))
for file in folder.glob("*.onnx"):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    numpy.save(file.with_suffix(".npy"), session.run(["y"], inputs)[0])
"""

pytestmark = [
    pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="needs Linux on x86-64"),
    pytest.mark.skipif(shutil.which(HASWELL[0]) is None, reason="needs qemu-x86_64 (Debian: qemu-user)"),
]


@pytest.fixture(scope="module")
def ratios(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """SNR in dB of files on that CPU to the same files in exact arithmetic, by their names."""
    folder = tmp_path_factory.mktemp("other-cpus")
    targets = load_targets()
    emit(quantized(BLOCKS, targets["onnxruntime-cpu"], "fp32"), 20, folder / "floats.onnx")
    emit(quantized(BLOCKS, targets["onnxruntime-cpu"], "int8"), 20, folder / "unsigned.onnx")
    # On x86, where bundles for Arm are checked too, ONNX Runtime makes signed activations unsigned.
    emit(quantized(BLOCKS, targets["raspberry-pi"], "int8"), 20, folder / "signed.onnx")
    for limit in (63, 127):
        write_extreme(folder / "unsigned.onnx", limit, folder / f"extreme-{limit}.onnx")
    inputs = {name: tensor.numpy() for name, tensor in tensors_for(BLOCKS).items()}
    np.savez(folder / "inputs.npz", **inputs)
    subprocess.run([*HASWELL, "-c", RUN_ALL, folder], check=True, capture_output=True)
    return {
        file.stem: snr_db(
            OnnxRuntimeRunner(file, threads=1, optimized=False).run(inputs)["y"], np.load(file.with_suffix(".npy"))
        )
        for file in folder.glob("*.onnx")
    }


def write_extreme(file: Path, limit: int, path: Path) -> None:
    """The same network with all of its integer weights `limit` or `-limit`, but for zeros."""
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1:
            weights = np.sign(numpy_helper.to_array(tensor)) * np.int8(limit)
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    onnx.save(model, path)


@pytest.mark.parametrize("file", ["floats", "unsigned", "signed"])
def test_results_are_those_of_exact_arithmetic(ratios: dict[str, float], file: str) -> None:
    assert ratios[file] > SAME


def test_saturation_is_seen_where_there_is_some(ratios: dict[str, float]) -> None:
    assert ratios["extreme-127"] < SAME, "two products reach 2 * 255 * 127, more than 16 bits hold"
    assert ratios["extreme-63"] > SAME, "two products stay below 2 * 255 * 64 < 32767"


def test_a_bundle_keeps_its_bound(compiled: Path, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(pack([find_backend("onnxruntime")]))
    command = [*HASWELL, tmp_path / NAME, "run", compiled, "--threads", "1"]
    done = subprocess.run(command, capture_output=True, check=True)
    components = json.loads(done.stdout)["components"]
    assert components
    assert all(component["passed"] for component in components.values())
