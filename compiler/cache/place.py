"""Where the cache is, unless the user says otherwise."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from voxc.compiler.core.errors import InputError

NAME = "voxc"


def cache_directory(chosen: Path | None = None) -> Path:
    """The directory of the cache: the one the user has chosen, else the platform's place for the user's caches
    (`~/.cache/voxc` on Linux, `~/Library/Caches/voxc` on macOS).

    Raises:
        InputError: it is in a home directory, and there is none.
    """
    try:
        place = platformdirs.user_cache_path(NAME, appauthor=False) if chosen is None else chosen.expanduser()
    except RuntimeError as error:
        raise InputError("the cache has no place: the user has no home directory; name one with --cache") from error
    return place.absolute()
