"""The corpus on disk: one .npz a voice, its utterances one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

HOP, EDGE = 320, 80  # T content frames stand on 320 T + 80 samples


@dataclass(frozen=True)
class Utterance:
    """One sentence said by one voice."""

    voice: str
    text: str
    audio: np.ndarray  # float32 [320 T + 80] at 16 kHz
    labels: np.ndarray  # uint8 [T], see phonemes.PHONEMES


def write_voice(path: Path, utterances: list[Utterance]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        audio=np.concatenate([np.rint(u.audio * 32767).astype(np.int16) for u in utterances]),
        labels=np.concatenate([u.labels for u in utterances]),
        frames=np.array([len(u.labels) for u in utterances]),
        texts=np.array([u.text for u in utterances]),
    )


def read_voice(path: Path) -> list[Utterance]:
    with np.load(path) as stored:
        audio, labels, frames, texts = (stored[name] for name in ("audio", "labels", "frames", "texts"))
    utterances, sample, frame = [], 0, 0
    for count, text in zip(frames, texts, strict=True):
        length = HOP * int(count) + EDGE
        piece = audio[sample : sample + length].astype(np.float32) / 32767
        utterances.append(Utterance(path.stem, str(text), piece, labels[frame : frame + count]))
        sample, frame = sample + length, frame + int(count)
    return utterances


def read_corpus(directory: Path) -> list[Utterance]:
    return [utterance for path in sorted(directory.glob("*.npz")) for utterance in read_voice(path)]
