"""Lines on stderr that nobody may be able to read."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def print_line(text: str) -> None:
    """Prints a line at once. Where stderr takes nothing, it is given up, and the work goes on."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
