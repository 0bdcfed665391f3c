"""How good a voice is at what it was made for: sentences it never heard, said by somebody it never heard.

    python demo/training/evaluate.py WORK [VOICE] [--quick]

VOICE is a directory with voice.pth, content/ and voice.index, WORK itself unless given; what is measured goes to
VOICE/measured.json, what is heard to WORK/heard/.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile
import torch
from corpus import Utterance, read_voice
from listen import RATE, eager_voice, say_as
from melody import melody
from pitch import read_f0
from recogniser import phoneme_error, word_error
from rhyme import choices
from speech import SOURCE, TARGETS

from voxc.compiler.measure.quality.clips import Clip, speech_pairs
from voxc.compiler.measure.quality.secs import embedding, similarity

INDEX_RATES = (0.5, 0.75)  # the first is the one that the others are compared with
QUICK_SENTENCES = 6


def median_f0(said: list[Utterance]) -> float:
    """Hz, over all voiced frames."""
    f0 = np.concatenate([read_f0(one.audio, len(one.audio) // 160) for one in said])
    return float(np.median(f0[f0 > 0]))


def clips(name: str, audio: list[np.ndarray]) -> list[Clip]:
    return [Clip(f"{name} {number}", one, RATE) for number, one in enumerate(audio)]


def measure(source: list[Utterance], target: list[Utterance], made: list[np.ndarray], transpose: float) -> dict:
    """Of conversions `made` of `source`, sentence by sentence, to the speaker of `target`."""
    heard = embedding(clips("source", [one.audio for one in source]))
    wanted = embedding(clips("target", [one.audio for one in target]))
    pairs = [
        pair
        for one, sound in zip(source, made, strict=True)
        for pair in speech_pairs(Clip("source", one.audio, RATE), Clip("converted", sound, RATE))
    ]
    return {
        "secs": round(similarity(embedding(clips("converted", made)), wanted), 3),
        "secs_by_sentence": round(float(np.mean([similarity(embedding([c]), wanted) for c in clips("one", made)])), 3),
        "secs_of_source": round(similarity(heard, wanted), 3),
        **melody(pairs, transpose),
        **understood(source, made),
    }


def understood(said: list[Utterance], audio: list[np.ndarray]) -> dict[str, float]:
    return {
        "word_error_rate": word_error(said, audio),
        "phoneme_error_rate": phoneme_error(said, audio),
        **choices(said, audio),
    }


def evaluate(work: Path, directory: Path, quick: bool) -> dict:
    voice = eager_voice(directory)
    amount = QUICK_SENTENCES if quick else None
    source = read_voice(work / "held_out" / f"{SOURCE}.npz")[:amount]
    told: dict = {
        "sentences": len(source),
        "source": {"voice": SOURCE, **understood(source, [one.audio for one in source])},
        "other_sentences": choices(source, [one.audio for one in (*source[1:], source[0])]),  # what guessing gives
        "targets": {},
    }
    (work / "heard").mkdir(exist_ok=True)
    for speaker, name in enumerate(TARGETS):
        target = read_voice(work / "held_out" / f"{name}.npz")[:amount]
        transpose = round(12 * float(np.log2(median_f0(target) / median_f0(source))), 1)
        recorded = understood(target, [one.audio for one in target])
        found = {"speaker": speaker, "transpose": transpose, "original": recorded, "index_rate": {}}
        for index_rate in INDEX_RATES[: 1 if quick else None]:
            made = [say_as(voice, one.audio, speaker, transpose, index_rate) for one in source]
            for number, sound in enumerate(made):
                soundfile.write(work / "heard" / f"{name}_{index_rate}_{number}.wav", sound, RATE)
            found["index_rate"][f"{index_rate:g}"] = measure(source, target, made, transpose)
            print(name, index_rate, found["index_rate"][f"{index_rate:g}"], flush=True)
        told["targets"][name] = found
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("voice", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SENTENCES} sentences and one index rate")
    options = parser.parse_args()
    torch.set_num_threads(1)
    directory = options.voice or options.work
    told = evaluate(options.work, directory, options.quick)
    (directory / "measured.json").write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
