from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.core.model import VoiceModel
from voxc.compiler.families import load_voice
from voxc.compiler.voice_files import VoiceFiles, find_voice


@pytest.fixture(scope="session")
def plain(voice_file: Path) -> VoiceModel:
    """A synthesizer alone."""
    return load_voice(VoiceFiles(voice_file))


@pytest.fixture(scope="session")
def speaker(speaking_voice: Path) -> VoiceModel:
    """A voice that converts."""
    return load_voice(find_voice(speaking_voice))
