"""Text from anyone, made harmless for terminals and encodings; and names that file systems take."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path

NAME_BYTES = 255  # what most file systems take for one name
SPACE = "Zs"  # of which Python calls only one printable; Japanese names have another
DIGEST = 8  # hexadecimal digits that stand for the rest of a shortened name


def visible(text: str, also: str = "") -> str:
    """`text` with escapes in place of what controls a terminal or has no encoding, such as `\\x1b`; characters in
    `also` stay."""
    return "".join(
        each
        if each.isprintable() or each in also or unicodedata.category(each) == SPACE
        else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def shortened(name: str, limit: int = NAME_BYTES) -> str:
    """`name` if it has at most `limit` bytes, else its beginning and a digest of all of it."""
    encoded = os.fsencode(name)
    if len(encoded) <= limit:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:DIGEST]
    begin = encoded[: limit - DIGEST - 1].decode("utf-8", "ignore")
    return f"{begin}-{digest}"


def file_name(stem: str, ending: str) -> str:
    """A name that a file system takes and no command takes for an option: `stem`, maybe shortened, and `ending`."""
    return shortened(visible(stem).lstrip("-.") or "voice", NAME_BYTES - len(ending)) + ending


def is_encodable(path: Path) -> bool:
    """Whether a path is text in UTF-8, as runtimes and libraries want it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
