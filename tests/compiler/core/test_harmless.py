from __future__ import annotations

import pytest

from voxc.compiler.core.harmless import harmless, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb", r"a\u202eb"),
        ("\udce9", r"\udce9"),
        ("歌\u3000é ', [b]", "歌\u3000é ', [b]"),
    ],
)
def test_what_does_not_print_is_escaped(text: str, shown: str) -> None:
    assert harmless(text) == one_line(text) == shown


def test_a_message_is_one_line() -> None:
    assert one_line("a\nb\rc\n") == r"a b\rc"
    assert harmless("a\nb", also="\n") == "a\nb"
