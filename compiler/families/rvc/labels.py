"""What a checkpoint says about itself, beside what its tensors say: where they differ, the tensors are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from voxc.compiler.families.rvc.config import CONTENT_FEATURES, HIFI_GAN
from voxc.compiler.families.rvc.vocoders import vocoder_of

MAX_TEXT = 200  # characters
MAX_FACTS = 32
#: What the network is made of, and no fact about it.
STRUCTURE = frozenset({"weight", "config", "version", "f0", "sr"})
PHONE_EMBEDDING, SOURCE = "enc_p.emb_phone.weight", "dec.m_source."
#: What only Applio, and forks of it, write.
APPLIO_KEYS = frozenset({"vocoder", "embedder_model", "model_hash", "speakers_id"})
F0_LABELS = {
    **dict.fromkeys(("1", "1.0", "true", "yes"), True),
    **dict.fromkeys(("0", "0.0", "false", "no"), False),
}


@dataclass(frozen=True)
class Labels:
    """`version`, `f0` and `vocoder` as the network has them, `facts` for people, and `warnings` about wrong labels."""

    version: Any
    f0: Any
    vocoder: str
    facts: Mapping[str, str | int | float]
    warnings: tuple[str, ...]


def read_labels(content: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Labels:
    """Labels of a checkpoint; what neither a label nor a tensor says is as RVC has it: v1, with F0."""
    warnings = []
    version, f0 = version_label(content.get("version", "v1")), f0_label(content.get("f0", 1))
    true_version, true_f0 = version_of(weights), any(name.startswith(SOURCE) for name in weights)
    if true_version and "version" in content and version in CONTENT_FEATURES and version != true_version:
        warnings.append(
            f"says that it is {version}, and has the tensors of {true_version} "
            f"({CONTENT_FEATURES[true_version]} features): compiled as {true_version}"
        )
    if f0 is not None and f0 != true_f0:
        warnings.append(
            f"says that it was trained {'with' if f0 else 'without'} F0, and has the tensors of one trained "
            f"{'with' if true_f0 else 'without'}: compiled as such"
        )
    vocoder, true_vocoder = content.get("vocoder", HIFI_GAN), vocoder_of(weights)
    if isinstance(vocoder, str) and vocoder != true_vocoder:
        warnings.append(f"says that its vocoder is {vocoder[:MAX_TEXT]}, and has the tensors of {true_vocoder}")
    facts = facts_of(content) | {"origin": "applio" if content.keys() & APPLIO_KEYS else "rvc"}
    return Labels(true_version or version, true_f0, true_vocoder, facts, tuple(warnings))


def version_label(value: Any) -> Any:
    """`v1` or `v2` however it is written, else what there is."""
    text = f"v{value}" if isinstance(value, int) else str(value).lower()
    return text if text in CONTENT_FEATURES else value


def version_of(weights: Mapping[str, Tensor]) -> str | None:
    """The version whose content features the network takes."""
    embedding = weights.get(PHONE_EMBEDDING)
    if embedding is None or embedding.dim() != 2:
        return None
    return next((name for name, width in CONTENT_FEATURES.items() if width == embedding.shape[1]), None)


def f0_label(value: Any) -> bool | None:
    """Whether a label says F0; None if it says nothing that is understood."""
    if isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 else None
    return F0_LABELS.get(str(value).lower())


def facts_of(content: Mapping[str, Any]) -> dict[str, str | int | float]:
    """What else the file says in words and numbers: `info`, and what forks add, such as `embedder_model`."""
    info = content.get("info")
    facts: dict[str, str | int | float] = {"info": info[:MAX_TEXT] if isinstance(info, str) else ""}
    for name, value in content.items():
        if isinstance(name, str) and name not in STRUCTURE | facts.keys() and isinstance(value, str | int | float):
            facts[name[:MAX_TEXT]] = value[:MAX_TEXT] if isinstance(value, str) else value
    return dict(list(facts.items())[:MAX_FACTS])
