"""Families of voices. A family is a folder whose `voice` module has `SUFFIXES` and `load_voice(path)`."""

from __future__ import annotations

from pathlib import Path

from voxc.compiler.errors import CheckpointError
from voxc.compiler.families.rvc import voice as rvc
from voxc.compiler.program import VoiceModel

FAMILIES = (rvc,)


def load_voice(path: Path) -> VoiceModel:
    """The voice at `path`, by the family that knows such files.

    Raises:
        CheckpointError: no family does, or the one that does cannot use the file.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such file")
    for family in FAMILIES:
        if path.suffix.lower() in family.SUFFIXES:
            return family.load_voice(path)
    known = ", ".join(sorted(suffix for family in FAMILIES for suffix in family.SUFFIXES))
    raise CheckpointError(f"{path}: not a voice that voxc knows; it reads {known} files")
