from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voxc.compiler.audio.scratch import Scratch
from voxc.compiler.core.errors import OutputError


@pytest.mark.parametrize("length", [1, 2, 3, 50, 1000])
def test_reads_beyond_the_ends_are_reflections(length: int) -> None:
    signal = np.arange(length, dtype=np.float32)
    padded = np.pad(signal, 400, mode="reflect")
    with Scratch(None) as scratch:
        scratch.append(signal[: length // 2])
        scratch.append(signal[length // 2 :])
        for start, count in ((0, length), (-400, length + 800), (-400, 10), (length - 1, 401), (-3, 5)):
            np.testing.assert_array_equal(scratch.read(start, count), padded[start + 400 :][:count])


def test_overwriting_and_gain() -> None:
    with Scratch(None) as scratch:
        scratch.append(np.zeros(0))
        scratch.append(np.array([1.0, -3.0, 2.0]))
        assert (scratch.length, scratch.peak) == (3, 3)
        scratch.overwrite(1, np.array([5.0]))
        scratch.gain = 0.5
        assert scratch.read(0, 3).tolist() == [0.5, 2.5, 1]
        assert [(start, block.tolist()) for start, block in scratch.blocks(2)] == [(0, [0.5, 2.5]), (2, [1])]


def test_nothing_lies_in_the_folder(tmp_path: Path) -> None:
    with Scratch(tmp_path) as scratch:
        scratch.append(np.zeros(1000))
        assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no room"):
        Scratch(tmp_path / "nowhere")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk() -> None:
    with Scratch(None) as scratch, Path("/dev/full").open("wb", buffering=0) as full:
        scratch.file.close()
        scratch.file = full
        with pytest.raises(OutputError, match="No space left"):
            scratch.append(np.zeros(10))
