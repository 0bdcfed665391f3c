"""Names of files: ours, made of names from anyone; and what runtimes can open."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

MOST_BYTES = 255  # of a name, on almost every file system
DIGITS = 8  # of a digest that tells long names apart
NAMELESS = "voice"


def file_name(stem: str, ending: str) -> str:
    """A name that a file system takes and no command takes for an option, ending in `ending`.

    A stem that is too long is cut, and ends in a digest then.
    """
    safe = "".join(character if character.isprintable() else "_" for character in stem).strip().lstrip("-.")
    safe = safe or NAMELESS
    room = MOST_BYTES - len(os.fsencode(ending))
    if len(safe.encode()) > room:
        mark = "~" + hashlib.sha256(safe.encode()).hexdigest()[:DIGITS]
        safe = safe.encode()[: room - len(mark)].decode(errors="ignore") + mark
    return safe + ending


def readable_name(path: Path) -> str:
    """The name of a file as text, whatever its bytes are."""
    return os.fsencode(path.name).decode(errors="replace")


def is_utf8(path: Path) -> bool:
    """Whether a path, from the root on, is UTF-8. ONNX Runtime and others open no other ones."""
    try:
        os.path.abspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True
