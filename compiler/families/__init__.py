"""Families of voices. The `voice` module of a family has `SUFFIXES` and `load_voice(files, index_budget)`."""

from __future__ import annotations

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.model import VoiceModel
from voxc.compiler.families.rvc import voice as rvc
from voxc.compiler.voice_files import DEFAULT_INDEX_BUDGET, VoiceFiles

FAMILIES = (rvc,)


def load_voice(files: VoiceFiles, index_budget: float = DEFAULT_INDEX_BUDGET) -> VoiceModel:
    """The voice in `files`, by the family that knows such checkpoints. `index_budget` is in MiB.

    Raises:
        CheckpointError: no family does, or the one that does cannot use a file.
    """
    for family in FAMILIES:
        if files.checkpoint.suffix.lower() in family.SUFFIXES:
            return family.load_voice(files, index_budget)
    known = ", ".join(sorted(suffix for family in FAMILIES for suffix in family.SUFFIXES))
    raise CheckpointError(f"{files.checkpoint}: not a voice that voxc knows; it reads {known} files")
