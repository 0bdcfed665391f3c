"""Backends by the name that targets use, and the targets of all of them. Both grow by plug-ins."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from voxc.backends.base import Backend
from voxc.compiler.core.errors import TargetError
from voxc.compiler.core.plugins import Plugins

if TYPE_CHECKING:  # running a bundle needs no targets
    from voxc.compiler.core.target import Target

BACKENDS: Plugins[Backend] = Plugins("voxc.backends", Backend)  # type: ignore[type-abstract]


def find_backend(name: str) -> Backend:
    """The backend called `name`.

    Raises:
        TargetError: there is none.
        PluginError: it cannot be loaded.
    """
    if name not in BACKENDS:
        raise TargetError(
            f"no backend is called {name!r}; there are {', '.join(BACKENDS) or 'none: install voxc again'}; if a "
            f"plug-in brings it, install that"
        )
    return BACKENDS[name]


def backend_of(target: Target) -> Backend:
    """The backend of a target, with the target's options.

    Raises:
        TargetError: there is none, or an option is unknown or wrong; the message has the file of the target.
        PluginError: it cannot be loaded.
    """
    try:
        return find_backend(target.backend).on(target.options)
    except TargetError as error:
        file = targets_files().get(target.name)
        raise TargetError(f"{file or 'a target of your own'}: target {target.name!r}: {error}") from None


def known_targets() -> dict[str, Target]:
    """The targets of voxc and of plug-ins, by name.

    Raises:
        TargetError: a file is wrong, or two have a target of the same name.
        PluginError: a plug-in cannot be loaded.
    """
    return read_targets()[0]


def targets_files() -> dict[str, Path]:
    """The file of each target. Raises as `known_targets`."""
    return read_targets()[1]


@cache
def read_targets() -> tuple[dict[str, Target], dict[str, Path]]:
    """Targets and their files, by name."""
    from voxc.compiler.core.target import TARGETS_FILE, load_targets

    places: dict[str, Path] = {}
    targets: dict[str, Target] = {}
    files = (BACKENDS[name].targets_file for name in BACKENDS.foreign)
    for file in (TARGETS_FILE, *(file for file in files if file is not None)):
        for name, target in load_targets(file).items():
            if name in targets:
                raise TargetError(f"{file}: target {name!r} is also in {places[name]}; uninstall one of the two")
            targets[name], places[name] = target, file
    return targets, places
