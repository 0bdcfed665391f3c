"""Whether a voice gets the content encoder that it was trained with, by their names."""

from __future__ import annotations

from pathlib import Path

#: How a checkpoint calls its encoder; "custom" names none.
NAMED = "embedder_model"
UNNAMED = ("", "custom")
#: What the most common encoders are called, in checkpoints and in the names of folders.
CONTENTVEC = ("contentvec", "hubert")
#: Others that folders are named after.
OTHERS = ("spin", "chinese", "japanese", "korean", "wavlm", "whisper")


def embedder_warning(name: object, content: Path) -> str | None:
    """What the encoder in `content` does to a voice whose checkpoint names `name`; None if it seems to be its own."""
    wanted = str(name).lower() if isinstance(name, str) else ""
    if wanted in UNNAMED:
        return None
    folders = " ".join(part.lower() for part in content.absolute().parts[-4:])
    if any(common in wanted for common in CONTENTVEC) and not any(other in wanted for other in OTHERS):
        other = next((each for each in OTHERS if each in folders), None)
        if other is None or wanted in folders:
            return None
        believed = f"looks like {other}"
    elif wanted.partition("-")[0] in folders:
        return None
    else:
        believed = "is not named so"
    return (
        f"the voice was trained with the encoder {wanted!r}, and {content} {believed}: with another encoder it speaks "
        "unclearly; give its own with --content"
    )
