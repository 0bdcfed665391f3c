"""The program `voxc`: sees to Ctrl-C before it imports anything that takes its time."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to clean up yet
    from voxc.compiler.core import interrupt

    interrupt.run(command_line)


def command_line() -> None:
    from voxc.compiler.cli.streams import Streams

    streams = Streams()
    from voxc.compiler.cli.app import app

    try:
        app()
    except SystemExit as end:
        sys.exit(streams.exit_code(end.code))
