from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.families.model import Model
from voxc.compiler.families.rvc.files import VoiceFiles, find_voice
from voxc.compiler.families.rvc.voice import load_voice


@pytest.fixture(scope="session")
def plain(voice_file: Path) -> Model:
    """A synthesizer alone."""
    return load_voice(VoiceFiles(voice_file))


@pytest.fixture(scope="session")
def speaker(speaking_voice: Path) -> Model:
    """A voice that converts."""
    return load_voice(find_voice(speaking_voice))
