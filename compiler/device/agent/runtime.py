"""What a runtime is: it loads the files of a component, and runs them."""

from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

from voxc.compiler.core.device_errors import SettingError
from voxc.compiler.device.agent.bundle import Arrays, Bundle
from voxc.compiler.device.agent.machine import usable_cores
from voxc.compiler.device.agent.progress import Progress

Run = Callable[[Arrays], Arrays]


class PlacementError(Exception):
    """The OS does not say where operations run."""


class Runtime:
    """What runs the files of one backend.

    A runtime refuses settings that it lacks. One that `builds` makes of the files what it loads.
    """

    name = ""
    builds = False

    def __init__(self, target: Dict[str, Any], threads: Optional[int], units: Optional[str]) -> None:
        """`target` is the manifest's record; `threads` and `units` are what the user asks for, or None.

        Raises:
            MissingError: it is not installed.
            SettingError: it has no such setting.
        """
        self.library: Any = None
        self.settings: Dict[str, Any] = {}
        self.versions: Dict[str, str] = {}

    def load(self, file: Path, component: Dict[str, Any]) -> Run:
        """What maps inputs to outputs, both by name, for a component by its main file."""
        raise NotImplementedError

    def build(self, bundle: Bundle, component: Dict[str, Any], options: Any, progress: Progress) -> Dict[str, Any]:
        """Finds what `load` needs, or builds it; gives its description for the document."""
        raise SettingError(f"build: {self.name} runs the bundle's files as they are")

    def placements(self, file: Path) -> Tuple[Dict[str, str], Dict[str, float]]:
        """Where the OS says it runs the operations of a file, by their first output, and the share of the estimated
        cost by place; nothing where there is but one place.

        Raises:
            PlacementError: it does not say.
        """
        return {}, {}

    def refuse_units(self, units: Optional[str]) -> None:
        if units is not None:
            raise SettingError(f"compute units {units}: {self.name} has no such setting")

    def use_threads(self, target: Dict[str, Any], threads: Optional[int]) -> int:
        chosen = threads or target.get("threads") or usable_cores()
        self.settings["threads"] = chosen
        return int(chosen)

    def refuse_threads(self, threads: Optional[int]) -> None:
        if threads is not None:
            raise SettingError(f"threads {threads}: {self.name} chooses its threads itself")
