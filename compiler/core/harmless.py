"""Text from anyone, as it may be shown: a name in a file must neither control the terminal nor break its lines."""

from __future__ import annotations

import unicodedata

SPACES = "Zs"  # those that are no plain space are not printable to Python


def harmless(text: str, also: str = "") -> str:
    """The text, with escapes in the place of what does not print; what is in `also` stays."""
    return "".join(
        character
        if character.isprintable() or character in also or unicodedata.category(character) == SPACES
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


def one_line(text: object) -> str:
    """The same, on one line."""
    return harmless(" ".join(str(text).split("\n")).strip())
