"""Which files of a directory are recordings, by their names."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

#: Of files that libsndfile reads.
SUFFIXES = frozenset(
    f".{name}"
    for name in (
        "aif", "aiff", "au", "avr", "caf", "flac", "htk", "ircam", "mat4", "mat5", "mp3", "mpc2k", "nist", "oga", "ogg",
        "opus", "paf", "pvf", "rf64", "sd2", "sds", "snd", "svx", "voc", "w64", "wav", "wavex", "wve", "xi",
    )
)  # fmt: skip
#: Of files with sound that libsndfile does not read.
FOREIGN = frozenset(
    f".{name}"
    for name in (
        "3gp", "aac", "ac3", "amr", "ape", "dff", "dsf", "m4a", "m4b", "mka", "mkv", "mov", "mp4", "ra", "tta", "webm",
        "wma", "wv",
    )
)  # fmt: skip


def is_recording(path: Path, suffixes: Set[str] = SUFFIXES) -> bool:
    """Whether a file is named like a recording. Hidden files are none: macOS puts a `._NAME` beside every file that it
    copies to other file systems."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()


def recordings_in(directory: Path, suffixes: Set[str] = SUFFIXES) -> list[Path]:
    """The recordings in a directory, by name; not those of directories in it.

    Raises:
        OSError: the directory cannot be read.
    """
    return sorted(path for path in directory.iterdir() if is_recording(path, suffixes))
