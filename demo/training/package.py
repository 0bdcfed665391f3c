"""Puts a trained voice together as it is shipped: the networks, the index, and audio to try it on.

python demo/training/package.py WORK VOICE
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import soundfile
from corpus import Utterance, read_voice
from evaluate import median_f0
from speech import RATE, SOURCE, TARGETS

SAMPLE = 5  # the held-out sentence that is the sample
REFERENCE = (1, 9, 13)  # those that each speaker says for reference
PAUSE_SECONDS = 0.15
DESCRIPTIONS = {
    "slt": "a woman, American English; flite's cmu_us_slt",
    "rms": "a man, American English; flite's cmu_us_rms",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("voice", type=Path)
    options = parser.parse_args()
    work, voice = options.work, options.voice
    (voice / "content").mkdir(parents=True, exist_ok=True)
    (voice / "speakers").mkdir(exist_ok=True)
    for name in ("voice.pth", "voice.index", "content/config.json", "content/model.safetensors"):
        shutil.copyfile(work / name, voice / name)
    source = read_voice(work / "held_out" / f"{SOURCE}.npz")
    write_sound(voice / "sample.flac", [source[SAMPLE]])
    speakers = []
    for number, name in enumerate(TARGETS):
        said = read_voice(work / "held_out" / f"{name}.npz")
        write_sound(voice / "speakers" / f"{number}.flac", [said[sentence] for sentence in REFERENCE])
        f0 = median_f0(said)
        transpose = round(12 * float(np.log2(f0 / median_f0(source))), 1)
        speakers.append(
            {
                "number": number,
                "name": name,
                "description": DESCRIPTIONS[name],
                "median_f0_hz": round(f0, 1),
                "transpose_sample_by": transpose,
            }
        )
    facts = {"name": "voxc demo voice", "sample_text": source[SAMPLE].text, "speakers": speakers}
    (voice / "voice.json").write_text(json.dumps(facts, indent=2) + "\n")


def write_sound(path: Path, said: list[Utterance]) -> None:
    pause = np.zeros(round(PAUSE_SECONDS * RATE), np.float32)
    sound = np.concatenate([part for one in said for part in (one.audio, pause)])
    soundfile.write(path, sound, RATE, subtype="PCM_16")


if __name__ == "__main__":
    main()
