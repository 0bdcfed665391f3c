"""What a file is that was taken for a model or a recording: the first bytes of files which people hold by mistake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voxc.compiler.core.archive import names_in

HEAD_BYTES = 512
ARCHIVE = b"PK\x03\x04"

#: How such a file begins, what it is, and what to do.
FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/spec/",
     "a Git LFS pointer, not the file itself; run `git lfs pull` in its repository, or download the file"),
    (b"<!doctype html", "a web page, not the file itself; download it again (a sign-in page was saved in its place?)"),
    (b"<html", "a web page, not the file itself; download it again (a sign-in page was saved in its place?)"),
    (b"\x00\x05\x16\x07", "what macOS keeps about a file (AppleDouble); give the file whose name has no `._`"),
    (b"\x93NUMPY", "a NumPy array (.npy), such as RVC's total_fea.npy"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"%PDF", "a PDF document"),
)  # fmt: skip


def foreign_kind(head: bytes) -> str | None:
    """What a file with these first bytes is and what to do, or None if it is nothing that is recognised here."""
    if not head:
        return "the file is empty; download or copy it again"
    opening = head.lstrip().lower()
    return next((kind for start, kind in FOREIGN if head.startswith(start) or opening.startswith(start.lower())), None)


def foreign_file(path: Path) -> str | None:
    """The same of a file by its name; of a ZIP archive, what is in it. None for what cannot be read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        return None
    if not head.startswith(ARCHIVE):
        return foreign_kind(head)
    names = names_in(path)
    return archive_of(names) if names else "an archive that is damaged, or whose end is missing; copy it again"


def archive_of(names: Sequence[str]) -> str:
    """What an archive is that holds these, and what to do."""
    return f"an archive of other files ({', '.join(names[:3])}); unpack it first"
