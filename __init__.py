"""voxc: voices as files that devices run.

A program converts recordings with a compiled voice, a bundle, in its own process:

    import voxc

    with voxc.open("demo-onnxruntime-cpu") as voice:
        converted = voice.convert(samples, rate, transpose=5)

`voxc.compiler` is what makes bundles, and the command line.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from voxc.compiler.core.errors import VoxcError

if TYPE_CHECKING:
    from voxc.compiler.runtime.voice import Converted, Voice

__all__ = ["Converted", "Voice", "VoxcError", "open"]


def open(bundle: str | PathLike[str], threads: int | None = None) -> Voice:
    """A bundle that converts, with its networks loaded.

    Args:
        bundle: its directory.
        threads: of its runtime. (default: those of the bundle's target, else one for each core)

    Raises:
        BundleError: not a bundle, damaged, or nothing in it converts.
        MissingRuntimeError: what runs its files is not installed; the message says what to install.
        RecipeError: a number of threads that makes no sense.

    These, and all that `Voice.convert` raises, are kinds of `VoxcError`.
    """
    from pathlib import Path

    from voxc.compiler.runtime.voice import Voice

    return Voice.open(Path(bundle), threads)


if not TYPE_CHECKING:  # what type checkers see is imported when it is first used

    def __getattr__(name: str) -> Any:
        if name in ("Converted", "Voice"):
            from voxc.compiler.runtime import voice

            return getattr(voice, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
