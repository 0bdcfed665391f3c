from __future__ import annotations

from pathlib import Path

import pytest

from tests.voices import tiny_content, write_speaking_voice, write_voice
from voxc.compiler.families import load_model
from voxc.compiler.families.rvc.embedder import embedder_warning


@pytest.mark.parametrize(
    ("name", "folder", "warns"),
    [
        ("contentvec", "voice/content", False),
        ("contentvec", "models/contentvec", False),
        ("contentvec", "models/spin", True),
        ("hubert_base", "models/japanese-hubert-base", True),
        ("spin", "voice/content", True),
        ("spin", "models/Spin_v2", False),
        ("spin-v2", "models/spin", False),
        ("japanese-hubert-base", "models/japanese-hubert-base", False),
        ("japanese-hubert-base", "models/contentvec", True),
        ("chinese-hubert-base", "models--TencentGameMate--chinese-hubert-base/snapshots/0a1b", False),
        ("custom", "voice/content", False),
        ("", "voice/content", False),
        (None, "voice/content", False),
        (5, "voice/content", False),
    ],
)
def test_names_are_compared(name: object, folder: str, warns: bool) -> None:
    warning = embedder_warning(name, Path("/x") / folder)
    assert bool(warning) == warns
    assert warning is None or (f"{str(name)!r}" in warning and folder in warning)


def test_a_voice_of_another_encoder_warns(tmp_path: Path) -> None:
    voice = write_speaking_voice(tmp_path / "voice")
    assert not load_model(voice).warnings
    write_voice(voice / "tiny.pth", tiny_content(version="v1") | {"embedder_model": "spin"})
    (warning,) = load_model(voice).warnings
    assert warning.startswith(f"{voice / 'tiny.pth'}: the voice was trained with the encoder 'spin'")
