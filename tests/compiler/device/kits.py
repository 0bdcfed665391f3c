"""Kits for TensorRT, made by hand of bundles for ONNX Runtime, and what stands for a board's hardware."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compiler.device.conftest import edit_manifest
from voxc.compiler.manifest import read_manifest

STAND_INS = Path(__file__).parent / "stand_ins"
PRECISIONS = "synthesizer.precisions.json"
FRAMES, LONGEST = 30, 40  # of a kit whose segments may be of any length
NANO = {"tensorrt": "8.2.1.8", "gpu": "NVIDIA Tegra X1", "compute_capability": "5.3"}


def make_hardware(directory: Path) -> Path:
    """Fills a directory with what stands for libcudart and for the module tensorrt."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler is needed (Debian: gcc)")
    source, library = STAND_INS / "cudart.c", directory / "libcudart.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    shutil.copy(STAND_INS / "tensorrt.py", directory)
    return directory


def stand_in(monkeypatch: pytest.MonkeyPatch, version: str) -> Any:
    """What stands for the module tensorrt, of a version, in this process."""
    monkeypatch.setenv("FAKE_TENSORRT", version)
    spec = importlib.util.spec_from_file_location("tensorrt", STAND_INS / "tensorrt.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


def add_file(bundle: Path, name: str, content: bytes) -> None:
    """Writes a file of the component, and lists it."""
    (bundle / name).write_bytes(content)
    record = {"path": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def change(document: dict[str, Any]) -> None:
        files = document["build"]["components"][0]["files"]
        files[:] = [file for file in files if file["path"] != name] + [record]

    edit_manifest(bundle, change)


def make_kit(bundle: Path, **recipe: Any) -> None:
    """Makes of a bundle one for the Jetson Nano."""

    def change(document: dict[str, Any]) -> None:
        target = document["build"]["target"]
        target.update(name="jetson-nano", backend="tensorrt")
        target["capabilities"].update(machine="Jetson Nano", memory_mib=4096)

    edit_manifest(bundle, change)
    told = {"component": "synthesizer", "default": "fp16", "layers": {}, "tf32": False, **recipe}
    add_file(bundle, PRECISIONS, json.dumps(told).encode())


def told(engine: Path) -> Any:
    """What the builder was told, as the stand-in for TensorRT keeps it in its engines."""
    return json.loads(engine.read_bytes().split(b"\n")[1])


def layers_of(bundle: Path) -> list[Any]:
    import onnx

    return list(onnx.load(bundle / "synthesizer.onnx").graph.node)


def profiles_of(kit: Path, least: int, usual: int, most: int) -> dict[str, dict[str, tuple[int, ...]]]:
    component = read_manifest(kit).component("synthesizer")
    named = {"min": least, "opt": usual, "max": most}
    return {
        spec.name: {name: spec.bound_shape({"T": frames}) for name, frames in named.items()}
        for spec in component.inputs
        if spec.bound_shape({"T": 1}) != spec.bound_shape({"T": 2})
    }


def inputs_of(bundle: Path, frames: int) -> dict[str, Any]:
    """Other numbers than the reference, of another length."""
    random = np.random.default_rng(frames)
    specs = read_manifest(bundle).component("synthesizer").inputs
    floats = {spec.name: random.standard_normal(spec.bound_shape({"T": frames}), np.float32) for spec in specs}
    return {spec.name: floats[spec.name] if spec.dtype == "float32" else np.ones_like(floats[spec.name], spec.dtype)
            for spec in specs}  # fmt: skip
