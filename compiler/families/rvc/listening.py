"""Which hidden states of a content encoder a voice was trained on."""

from __future__ import annotations

from voxc.compiler.networks.hubert.load import Listening

#: In RVC WebUI. Applio takes the last layer for both versions.
LISTENS_TO = {"v1": Listening(9, True), "v2": Listening(12, False)}
APPLIO = "applio"


def listening_of(version: str, origin: str, layer: int | None = None) -> Listening:
    """What a voice of `version`, trained by `origin`, listens to; `layer` is what the user says."""
    usual = LISTENS_TO[version]
    if layer is not None:
        return Listening(layer, usual.project, exact=True)
    return Listening(None, usual.project) if origin == APPLIO else usual


def in_words(listening: Listening, layers: int) -> str:
    """The same in words, for an encoder of so many layers."""
    layer = min(listening.layer or layers, layers)
    return f"layer {layer} of {layers}" + (" through final_proj" if listening.project else "")
