"""What a file is that libsndfile does not read, and what to do about it."""

from __future__ import annotations

import shlex

from voxc.compiler.core.file_kind import ARCHIVE, foreign_kind

MPEG4 = "MPEG-4 audio or video (AAC as a rule)"
#: Offset and first bytes of formats that ffmpeg reads and libsndfile does not.
MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyp", MPEG4),
    (4, b"moov", MPEG4),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "Windows Media"),
    (0, b"#!AMR", "AMR"),
    (0, b"wvpk", "WavPack"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"TTA1", "True Audio"),
    (0, b"DSD ", "DSD"),
    (0, b"FRM8", "DSD"),
    (0, b".RMF", "RealMedia"),
    (0, b"FLV", "Flash video"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
    (0, b"ADIF", "AAC"),
    (8, b"AVI ", "a video (AVI)"),
)


def describe(name: str, head: bytes) -> str:
    """What a file is by its first bytes, and what to type; empty if that is not known."""
    for offset, magic, kind in MAGIC:
        if head[offset:].startswith(magic):
            return f"is {kind}, which libsndfile does not read; make a WAV of it: {remedy(name)}"
    if head.startswith(ARCHIVE):
        return "is no recording, but a ZIP archive; unpack it first"
    other = foreign_kind(head)
    return f"is no recording, but {other}" if other else ""


def remedy(name: str) -> str:
    """The command that makes a WAV of whatever ffmpeg reads."""
    return f"ffmpeg -i {shlex.quote(name)} recording.wav"
