"""How far a compile is: which step of how many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Report = Callable[[str], None]
#: Of a component, for each target: passes, artifact, check, times.
OF_COMPONENT = 4


@dataclass
class Steps:
    """Counts the steps of all targets; each has as many. Those that are left out for a target are over when the next
    target begins."""

    targets: int = 0
    of_target: int = 0
    target: int = 0
    step: int = 0

    def plan(self, targets: int, components: int, converts: bool) -> None:
        self.targets, self.of_target = targets, components * OF_COMPONENT + converts
        self.target = self.step = 0

    def next_target(self) -> None:
        self.target, self.step = self.target + 1, 0

    def next(self) -> None:
        self.step = min(self.step + 1, self.of_target)

    def numbered(self, report: Report) -> Report:
        """`report`, which gets messages with `[step/steps]` in front as soon as there is a plan and a target."""

        def say(message: str) -> None:
            if not self.target:
                report(message)
                return
            begun = (self.target - 1) * self.of_target + self.step
            report(f"[{begun}/{self.targets * self.of_target}] {message}")

        return say
