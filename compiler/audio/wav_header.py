"""How long a WAV file says that it is: libsndfile plays what is there, and says nothing of what is missing."""

from __future__ import annotations

import struct
from typing import IO

UNKNOWN = 0x7FFFF000  # a larger size is that of a stream whose end was not known: 2^31, 2^32 - 1 or so
CHUNKS = 1000  # at most, before the samples


def declared_seconds(stream: IO[bytes]) -> float | None:
    """Seconds of the samples that the header announces, or, if it announces none, that follow it all the same; None if
    it does not say, or the file is no RIFF file."""
    opening = stream.read(12)
    if len(opening) < 12 or opening[:4] != b"RIFF" or opening[8:] != b"WAVE":
        return None
    bytes_a_second = 0
    for _ in range(CHUNKS):
        header = stream.read(8)
        if len(header) < 8:
            return None
        kind, size = header[:4], struct.unpack("<I", header[4:])[0]
        if kind == b"data":
            size = size or bytes_left(stream)
            return size / bytes_a_second if 0 < size < UNKNOWN and bytes_a_second else None
        body = stream.read(min(size, 16))
        if kind == b"fmt " and len(body) == 16:
            bytes_a_second = struct.unpack("<I", body[8:12])[0]
        stream.seek(size - len(body) + size % 2, 1)
    return None


def bytes_left(stream: IO[bytes]) -> int:
    """How many bytes follow in a stream, which stays where it is."""
    place = stream.tell()
    end = stream.seek(0, 2)
    stream.seek(place)
    return end - place
