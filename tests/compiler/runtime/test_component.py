from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import BundleError
from voxc.compiler.runtime.component import load_component, run_component


def test_a_component_runs_in_its_runtime(compiled: Path, synthesizer: Component) -> None:
    bundle = Bundle.open(compiled)
    inputs = synthesizer.reference_inputs({"T": 30})
    found = run_component(
        load_component(bundle, "synthesizer", threads=1), bundle.manifest.component("synthesizer"), inputs
    )
    expected = synthesizer.run({name: torch.from_numpy(array) for name, array in inputs.items()})["audio"]
    torch.testing.assert_close(torch.from_numpy(found["audio"]), expected, atol=1e-5, rtol=0)


def test_files_that_are_not_the_manifests_are_not_loaded(compiled: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(Path(shutil.copytree(compiled, tmp_path / "copy")))
    (bundle.directory / "synthesizer.onnx").write_bytes(b"another")
    with pytest.raises(BundleError, match="synthesizer.onnx"):
        load_component(bundle, "synthesizer")
