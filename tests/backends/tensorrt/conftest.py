from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.compiler.device.kits import stand_in
from voxc.backends.tensorrt import engine

Gpu = Callable[[str], Any]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Gpu:
    """Makes it look as if TensorRT of a version and a GPU were here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_INT8", "1")
    monkeypatch.setattr(engine, "DEVICE", torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "Stream", lambda: SimpleNamespace(cuda_stream=7, synchronize=lambda: None))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1000 << 20, 8000 << 20))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tester")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 7))
    return lambda version: stand_in(monkeypatch, version)
