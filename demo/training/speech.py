"""Synthesizes the corpus: many voices for the content encoder, two of them to be learned, one only for evaluation.

    python demo/training/speech.py WORK     (espeak-ng, flite, festival and their voices: see README.md)

Writes WORK/train/<voice>.npz and WORK/held_out/<voice>.npz.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from corpus import EDGE, HOP, Utterance, write_voice
from espeak import Espeak
from phonemes import frame_labels, from_espeak, from_radio
from scipy.signal import resample_poly
from sentences import HELD_OUT, training_sentences

RATE = 16000
LOUDNESS = 0.08  # root mean square of every utterance
TARGETS = ("slt", "rms")
SOURCE = "ked_diphone"  # never trained on
ESPEAK_VARIANTS = (
    "", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+m8", "+f1", "+f2", "+f3", "+f4", "+f5", "+croak", "+klatt",
    "+klatt4", "+Annie", "+Andy", "+adam", "+linda", "+iven", "+steph", "+Denis", "+Alicia", "+Lee", "+quincy",
    "+Tweaky",
)  # fmt: skip
MEANS = {"slt": 171.0, "rms": 103.0, "awb": 126.0, "kal16": 95.0}  # Hz, what flite gives by itself
STRANGE_MEANS = (0.85, 0.92, 1.08, 1.18)
TARGET_SENTENCES, FLITE_SENTENCES, FESTIVAL_SENTENCES, ESPEAK_SENTENCES = 460, 240, 150, 56

Engine = Callable[[str, list[str], random.Random], list[Utterance]]


def say_espeak(variant: str, texts: list[str], chance: random.Random) -> list[Utterance]:
    engine = Espeak()
    utterances = []
    for text in texts:
        audio, events = engine.say(
            text, f"en-us{variant}", chance.randint(125, 200), chance.randint(20, 80), chance.randint(30, 80)
        )
        phonemes = from_espeak(events, len(audio) / engine.rate)
        utterances.append(prepare(f"espeak{variant}", text, audio / 32768, engine.rate, phonemes))
    return utterances


def say_flite(voice: str, texts: list[str], chance: random.Random) -> list[Utterance]:
    """Two in five sentences at another pitch, so that pitch and speaker are told apart; not those for evaluation."""
    utterances = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "said.wav"
        for text in texts:
            strange = chance.random() < 0.4 and text not in HELD_OUT
            mean = MEANS[voice] * (chance.choice(STRANGE_MEANS) if strange else 1)
            pace = chance.uniform(0.9, 1.15)
            settings = ("--setf", f"int_f0_target_mean={mean:.1f}", "--setf", f"duration_stretch={pace:.3f}")
            command = ("flite", "-voice", voice, *settings, "-psdur", "-t", text, "-o", str(path))
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            audio, rate = soundfile.read(path)
            names, ends = zip(*(part.split(":") for part in told.split()), strict=True)
            starts = [0.0, *(float(end) for end in ends[:-1])]
            phonemes = [(start, from_radio(name)) for start, name in zip(starts, names, strict=True)]
            utterances.append(prepare(voice, text, audio, rate, phonemes))
    return utterances


def say_festival(voice: str, texts: list[str], chance: random.Random) -> list[Utterance]:
    utterances = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lines = [f"(voice_{voice})"]
        for number, text in enumerate(texts):
            lines += [
                f"(Parameter.set 'Duration_Stretch {chance.uniform(0.9, 1.2):.3f})",
                f'(set! u (utt.synth (Utterance Text "{text}")))',
                f'(utt.save.wave u "{folder}/{number}.wav" \'riff)',
                f'(utt.save.segs u "{folder}/{number}.segs")',
            ]
        (folder / "say.scm").write_text("\n".join(lines))
        subprocess.run(("festival", "-b", str(folder / "say.scm")), check=True, capture_output=True)
        for number, text in enumerate(texts):
            audio, rate = soundfile.read(folder / f"{number}.wav")
            rows = (folder / f"{number}.segs").read_text().split("#\n")[1].splitlines()
            ends, _, names = zip(*(row.split() for row in rows), strict=True)
            starts = [0.0, *(float(end) for end in ends[:-1])]
            phonemes = [(start, from_radio(name)) for start, name in zip(starts, names, strict=True)]
            utterances.append(prepare(voice, text, audio, rate, phonemes))
    return utterances


def prepare(voice: str, text: str, audio: np.ndarray, rate: int, phonemes: list[tuple[float, int]]) -> Utterance:
    """At 16 kHz, at one loudness, and cut to whole content frames."""
    if rate != RATE:
        audio = resample_poly(audio, RATE, rate)
    audio = audio * (LOUDNESS / np.sqrt(np.mean(audio**2)))
    audio = audio * min(1.0, 0.99 / np.abs(audio).max())
    frames = (len(audio) - EDGE) // HOP
    return Utterance(voice, text, audio[: HOP * frames + EDGE].astype(np.float32), frame_labels(phonemes, frames))


def record(engine: Engine, voice: str, texts: list[str], path: Path) -> str:
    """One voice's file; the same for every run, whatever the order of the work."""
    utterances = engine(voice, texts, random.Random(zlib.crc32(path.name.encode())))
    write_voice(path, utterances)
    return f"{path.name}: {len(utterances)} utterances, {sum(len(u.labels) for u in utterances) / 3000:.1f} min"


def plan(work: Path) -> list[tuple[Engine, str, list[str], Path]]:
    said = training_sentences(6000, seed=0)
    train, held_out = work / "train", work / "held_out"
    jobs: list[tuple[Engine, str, list[str], Path]] = [
        (say_flite, voice, said[number * 500 :][:TARGET_SENTENCES], train / f"{voice}.npz")
        for number, voice in enumerate(TARGETS)
    ]
    others: list[tuple[Engine, str, int]] = [
        (say_flite, "awb", FLITE_SENTENCES),
        (say_flite, "kal16", FLITE_SENTENCES),
        (say_festival, "kal_diphone", FESTIVAL_SENTENCES),
        (say_festival, "cmu_us_slt_arctic_hts", FESTIVAL_SENTENCES),
        *((say_espeak, variant, ESPEAK_SENTENCES) for variant in ESPEAK_VARIANTS),
    ]
    for number, (engine, voice, count) in enumerate(others):
        name = f"espeak{voice}" if engine is say_espeak else voice
        jobs.append((engine, voice, said[1000 + 140 * number :][:count], train / f"{name}.npz"))
    jobs.append((say_festival, SOURCE, list(HELD_OUT), held_out / f"{SOURCE}.npz"))
    jobs += [(say_flite, voice, list(HELD_OUT), held_out / f"{voice}.npz") for voice in TARGETS]
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    jobs = plan(parser.parse_args().work)
    with ProcessPoolExecutor(2, max_tasks_per_child=1) as pool:
        for told in pool.map(record, *zip(*jobs, strict=True)):
            print(told, flush=True)


if __name__ == "__main__":
    main()
