"""Files of sound from anyone, opened once: pipes become files, headers without a length get one."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from voxc.compiler.core.errors import AudioError

PIPE_LIMIT = 4 << 30  # bytes that a pipe may bring
CHUNK = 1 << 20
UNKNOWN = 0xFFFFFFFF  # what streams write in the place of a size


def open_source(path: Path) -> IO[bytes]:
    """The bytes of a file, or of a pipe, read to its end, as a file that can be read again and again.

    Raises:
        AudioError: there is no such file, or it is empty or a directory, or a pipe that brings too much.
    """
    try:
        if path.is_dir():
            raise AudioError(f"{path}: is a directory; give one recording")
        stream: IO[bytes] = path.open("rb", buffering=0)  # libsndfile shares its position
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            with stream:
                stream = spool(stream, path)
        if not stream.read(1):
            stream.close()
            raise AudioError(f"{path}: is an empty file")
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror or error})") from error
    return stream


def refuse_pipe(path: Path) -> None:
    """Raises AudioError for what can be read only once where it has to be read more often."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise AudioError(f"{path}: is a pipe or a device, which can be read only once; save it as a file and give that")


def spool(stream: IO[bytes], path: Path) -> Any:
    """What a pipe brings, in a file without a name."""
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the caller closes it
    size = 0
    while chunk := stream.read(CHUNK):
        size += len(chunk)
        if size > PIPE_LIMIT:
            file.close()
            raise AudioError(f"{path}: brings more than {PIPE_LIMIT >> 30} GiB; save it as a file and give that")
        file.write(chunk)
    file.seek(0)
    return file


def mended_wav(stream: IO[bytes]) -> MendedWav | None:
    """A WAV whose header says that it has no samples, though they follow: it was written to a pipe, or its recorder was
    cut off. None for any other file."""
    stream.seek(0)
    head = stream.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    size = os.fstat(stream.fileno()).st_size
    for name, start, length in chunks(stream, size):
        if name == b"data":
            follows = next(chunks(stream, size), None)
            if length or start == size or follows is not None:
                return None
            return MendedWav(stream, {4: word(size - 8), start - 4: word(size - start)})
    return None


def chunks(stream: IO[bytes], size: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and length of the chunks of a RIFF file from here on, as far as they make sense."""
    while len(head := stream.read(8)) == 8:
        name, length, start = head[:4], int.from_bytes(head[4:], "little"), stream.tell()
        if not name.isascii() or not name.decode().isprintable() or start + length > size:
            return
        yield name, start, length
        stream.seek(start + length + length % 2)


def word(value: int) -> bytes:
    return min(value, UNKNOWN).to_bytes(4, "little")


class MendedWav(io.RawIOBase):
    """A file with other bytes in some places."""

    def __init__(self, stream: IO[bytes], patches: dict[int, bytes]) -> None:
        self.stream, self.patches = stream, patches

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()

    def readinto(self, buffer: Any) -> int:
        place = self.stream.tell()
        data = bytearray(self.stream.read(len(buffer)))
        for start, patch in self.patches.items():
            for position, byte in enumerate(patch, start - place):
                if 0 <= position < len(data):
                    data[position] = byte
        buffer[: len(data)] = data
        return len(data)
