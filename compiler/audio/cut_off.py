"""How much of a recording its file lacks: libsndfile reads what there is of it, and keeps the rest to itself."""

from __future__ import annotations

import os
import re
from typing import IO, Any

#: What libsndfile's log says of a size that goes beyond the end of the file.
CLAIM = re.compile(r": (\d+) \(should be (\d+)\)")
#: Sizes that streams write where they do not know better, each with the header that may be added to it.
PLACEHOLDERS = (range(0x7FFF_0000, 0x8001_0000), range(0xFFFF_0000, 0x1_0000_0000))
LEAST_SECONDS = 0.01
MP3_LENGTHS = (b"Xing", b"Info", b"VBRI")  # headers of MP3 files that say how long they are
HEAD, TAIL = 1 << 16, 1 << 17  # bytes; a page of an Ogg file has at most 65307
OGG_CUT_OFF = "the recording is cut off: its end is missing, and the file does not say how much"
LAST_PAGE = 0x04  # a flag of such pages


def missing(file: Any, stream: IO[bytes], decoded: int) -> list[str]:
    """A warning if a file, of which `decoded` frames have been read, was cut off; with seconds and the share where the
    file says how long it should be."""
    if file.format == "OGG":
        return [] if is_complete_ogg(stream) else [OGG_CUT_OFF]
    whole = claimed_frames(file, stream, decoded)
    lost = (whole - decoded) / file.samplerate
    if lost < LEAST_SECONDS:
        return []
    seconds = whole / file.samplerate
    return [f"the recording is cut off: {lost:.2f} s of {seconds:.2f} s are missing ({lost / seconds:.0%})"]


def claimed_frames(file: Any, stream: IO[bytes], decoded: int) -> float:
    """How many frames the file should have."""
    claims = [(int(claim), int(size)) for claim, size in CLAIM.findall(file.extra_info)]
    claims = [(claim, size) for claim, size in claims if size and not any(claim in each for each in PLACEHOLDERS)]
    if claims:
        claim, size = min(claims)  # the chunk rather than the file around it
        return decoded * claim / size
    if file.format != "MP3":
        return max(decoded, file.frames)
    stream.seek(0)
    head = stream.read(HEAD)
    return max(decoded, file.frames) if any(name in head for name in MP3_LENGTHS) else decoded


def is_complete_ogg(stream: IO[bytes]) -> bool:
    """Whether the last page of an Ogg file says that it is the last one."""
    stream.seek(0, os.SEEK_END)
    stream.seek(-min(TAIL, stream.tell()), os.SEEK_END)
    _, page, rest = stream.read().rpartition(b"OggS")
    return bool(page) and len(rest) > 1 and bool(rest[1] & LAST_PAGE)
