"""Timings of kernels that builds leave for later ones, in a file."""

import contextlib
import os
import re
from pathlib import Path
from typing import Any, Dict, Optional


def timings_file(here: Dict[str, str]) -> Optional[Path]:
    """The file of a machine's timings in the user's cache directory; None if there is no such directory."""
    try:
        place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except (KeyError, RuntimeError):  # a user without a home
        return None
    name = re.sub(r"[^A-Za-z0-9.]+", "-", "{tensorrt}-{gpu}-{compute_capability}".format(**here))
    return place / "voxc" / f"{name}.timings" if place.is_absolute() else None


def use_timings(file: Optional[Path], config: Any) -> Any:
    """Timings of kernels that earlier builds left, for this one to add to.

    Those of another machine or version, and files that hold none, are passed over.
    """
    cache = None
    if file is not None:
        with contextlib.suppress(OSError):
            cache = config.create_timing_cache(file.read_bytes())
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def keep_timings(file: Optional[Path], cache: Any) -> None:
    """Writes timings, whole or not at all. Where they cannot be written, the next build takes longer."""
    if file is None:
        return
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(cache.serialize())
            partial.replace(file)
        except OSError:
            partial.unlink()
            raise
