from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.compiler.core.errors import BundleError, TensorError


@pytest.mark.parametrize("content", [b"", b"not a protobuf", b"\x08\x07\x12\x04voxc"])
def test_a_broken_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.onnx"
    file.write_bytes(content)
    with pytest.raises(BundleError, match="broken.onnx"):
        OnnxRuntimeRunner(file, 1)


def test_inputs_that_do_not_fit_are_an_error(compiled: Path) -> None:
    with pytest.raises(TensorError, match="could not run these inputs"):
        OnnxRuntimeRunner(compiled / "synthesizer.onnx", 1).run({"phone": np.zeros((1, 2, 3), np.float32)})


def test_threads_are_what_was_asked_for(compiled: Path) -> None:
    runner = OnnxRuntimeRunner(compiled / "synthesizer.onnx", 2)
    assert runner.session.get_session_options().intra_op_num_threads == 2
