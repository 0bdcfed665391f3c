"""Progress on stderr, for people and for `voxc measure`."""

import sys
import time

from voxc.compiler.device.protocol import PROGRESS

EVERY = 0.2  # seconds between two progress lines of one step


class Progress:
    """Progress of one component on stderr: every step, and within a step no more than a few lines a second."""

    def __init__(self, component: str) -> None:
        self.component, self.step, self.last = component, "", 0.0

    def __call__(self, message: str) -> None:
        step, now = message.split(",")[0], time.monotonic()
        if step != self.step or now - self.last >= EVERY:
            self.step, self.last = step, now
            sys.stderr.write(f"{PROGRESS}{self.component}: {message}\n")
            sys.stderr.flush()
