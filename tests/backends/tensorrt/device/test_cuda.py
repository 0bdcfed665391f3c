from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from voxc.backends.tensorrt.device.cuda import Cuda
from voxc.compiler.core.device_errors import MachineError, MissingError


def test_a_missing_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", nowhere)
    with pytest.raises(MissingError, match=r"libcudart, CUDA's runtime library, is not found; JetPack has it"):
        Cuda()


def test_what_the_library_says(hardware: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cuda, "opened", staticmethod(lambda: ctypes.CDLL(str(hardware / "libcudart.so"))))
    monkeypatch.setenv("FAKE_MEMORY_MIB", "1000")
    cuda = Cuda()
    assert (cuda.gpu, cuda.compute_capability, cuda.version) == ("NVIDIA Tegra X1", "5.3", "10.2")
    assert cuda.free == 1000 << 20
    with pytest.raises(MachineError, match=r"cudaMalloc: out of memory \(error 2\)"):
        cuda.pointer("Malloc", 1001 << 20)
    monkeypatch.setenv("FAKE_GPUS", "0")
    with pytest.raises(MissingError, match="CUDA finds no GPU"):
        Cuda()
