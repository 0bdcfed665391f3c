from __future__ import annotations

import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.compiler.runtime.standins import tone
from voxc.compiler.audio import source as module
from voxc.compiler.audio.sound import SoundFile
from voxc.compiler.core.errors import AudioError

SOUND = tone(200, 1, 16000)


def read(path: Path) -> np.ndarray:
    with SoundFile(path) as file:
        return np.concatenate(list(file.blocks()))


@pytest.fixture(params=["wav", "flac", "mp3"])
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"a.{request.param}"
    soundfile.write(path, np.stack([SOUND, SOUND], axis=1), 16000)
    return path


def piped(recording: Path) -> Path:
    """A FIFO that brings a recording, once."""
    fifo = recording.with_name("fifo")
    os.mkfifo(fifo)
    threading.Thread(target=lambda: fifo.write_bytes(recording.read_bytes()), daemon=True).start()
    return fifo


def test_a_pipe_is_read_once(recording: Path) -> None:
    np.testing.assert_array_equal(read(piped(recording)), read(recording))


def test_a_pipe_may_not_bring_everything(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIPE_LIMIT", 1000)
    with pytest.raises(AudioError, match="fifo: brings more than .* save it as a file"):
        SoundFile(piped(recording))


def sized(path: Path, whole: int, data: int, behind: bytes = b"") -> Path:
    """A WAV whose header has these sizes."""
    soundfile.write(path, SOUND, 16000)
    content = bytearray(path.read_bytes())
    content[4:8], content[40:44] = struct.pack("<I", whole), struct.pack("<I", data)
    path.write_bytes(bytes(content) + behind)
    return path


@pytest.mark.parametrize(("whole", "data"), [(0, 0), (36, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000)])
def test_headers_without_a_length(tmp_path: Path, whole: int, data: int) -> None:
    path = sized(tmp_path / "a.wav", whole, data)
    np.testing.assert_allclose(read(path), SOUND, atol=1e-4)
    with SoundFile(path) as file:
        assert len(np.concatenate(list(file.blocks()))) == len(SOUND)
        assert file.warnings == []


def test_no_samples_and_a_chunk_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, SOUND[:0], 16000)
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 26) + b"INFO" + bytes(22))
    with SoundFile(path) as file:
        assert list(file.blocks()) == []
