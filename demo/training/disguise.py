"""The target speakers' utterances as other people might say them, at the same times: other formants, another pitch.

    python demo/training/disguise.py WORK

Writes WORK/disguised/<speaker>_<n>.npz. The synthesizer hears these and has to say the originals.
"""

from __future__ import annotations

import argparse
import dataclasses
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import parselmouth
from corpus import read_voice, write_voice
from parselmouth.praat import call
from pitch import RATE
from speech import TARGETS

DISGUISES = 3


def disguise(audio: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Praat's "Change gender", which keeps the time: float32 [samples] -> float32 [samples]."""
    sound = parselmouth.Sound(audio.astype(np.float64), RATE)
    formants, pitch = np.exp(chance.uniform(-0.25, 0.25)), chance.uniform(80, 240)
    changed = call(sound, "Change gender", 60, 500, formants, pitch, chance.uniform(0.7, 1.3), 1.0).values[0]
    changed = changed * min(1.0, 0.99 / max(np.abs(changed).max(), 1e-3))
    return np.pad(changed, (0, max(0, len(audio) - len(changed))))[: len(audio)].astype(np.float32)


def disguise_voice(work: Path, speaker: str, number: int) -> None:
    chance = np.random.default_rng((TARGETS.index(speaker), number))
    said = read_voice(work / "train" / f"{speaker}.npz")
    changed = [dataclasses.replace(one, audio=disguise(one.audio, chance)) for one in said]
    write_voice(work / "disguised" / f"{speaker}_{number}.npz", changed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(disguise_voice, work, name, n) for name in TARGETS for n in range(DISGUISES)]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    main()
