from __future__ import annotations

import os
from pathlib import Path

import pytest

from voxc.compiler.core.text import NAME_BYTES, is_encodable, shortened, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("voice.pth", "voice.pth"),
        ("\u6b4c\u58f0 voz", "\u6b4c\u58f0 voz"),
        ("\x1b]0;TITLE\x07\x1b[2J", r"\x1b]0;TITLE\x07\x1b[2J"),
        ("\u6b4c\u3000\u58f0", "\u6b4c\u3000\u58f0"),
        ("two\nlines", r"two\nlines"),
        ("\udc89\u202e", r"\udc89\u202e"),
    ],
)
def test_what_controls_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown
    visible(text).encode()


def test_long_names_are_shortened() -> None:
    assert shortened("voice") == "voice"
    long = "\u3042" * 100  # 300 bytes
    short = shortened(long)
    assert len(os.fsencode(short)) <= NAME_BYTES
    assert short.startswith("\u3042" * 80)
    assert shortened(long + "x") != short
    assert len(os.fsencode(shortened(os.fsdecode(b"\xff" * 300)))) <= NAME_BYTES


def test_names_that_runtimes_can_open() -> None:
    assert is_encodable(Path("\u6b4c.pth"))
    assert not is_encodable(Path(os.fsdecode(b"\x89\xcc.pth")))
