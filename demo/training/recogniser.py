"""What a recogniser understands that knows nothing of voice conversion: pocketsphinx, American English."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from itertools import groupby

import numpy as np
import pocketsphinx
from corpus import Utterance
from phonemes import PAUSE, PHONEMES

RATE = 16000
NO_PHONEME = {"SIL", "+SPN+", "+NSN+", "(NULL)"}


@cache
def word_decoder() -> pocketsphinx.Decoder:
    return pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL")


@cache
def phoneme_decoder() -> pocketsphinx.Decoder:
    """Any phoneme after any other, by their frequencies alone."""
    frequencies = pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin")
    settings = {"lw": 2.0, "beam": 1e-20, "pbeam": 1e-20, "lm": None}
    return pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL", allphone=frequencies, **settings)


def listen(decoder: pocketsphinx.Decoder, audio: np.ndarray) -> pocketsphinx.Decoder:
    """audio: float [samples] at 16 kHz."""
    decoder.start_utt()
    decoder.process_raw(np.rint(audio.clip(-1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    return decoder


def heard_words(audio: np.ndarray) -> list[str]:
    guess = listen(word_decoder(), audio).hyp()
    return words(guess.hypstr) if guess else []


def heard_phonemes(audio: np.ndarray) -> list[str]:
    found = listen(phoneme_decoder(), audio).seg() or ()
    return [part.word.lower() for part in found if part.word not in NO_PHONEME]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def said_phonemes(one: Utterance) -> list[str]:
    return [PHONEMES[number] for number, _ in groupby(one.labels) if PHONEMES[number] != PAUSE]


def word_error(said: list[Utterance], audio: list[np.ndarray]) -> float:
    """Over all sentences together: edits that make what was heard of what was said, for each word said."""
    return error([words(one.text) for one in said], audio, heard_words)


def phoneme_error(said: list[Utterance], audio: list[np.ndarray]) -> float:
    """The same of phonemes."""
    return error([said_phonemes(one) for one in said], audio, heard_phonemes)


def error(wanted: list[list[str]], audio: list[np.ndarray], hear: Callable[[np.ndarray], list[str]]) -> float:
    wrong = sum(edits(one, hear(sound)) for one, sound in zip(wanted, audio, strict=True))
    return round(wrong / sum(len(one) for one in wanted), 3)


def edits(wanted: list[str], found: list[str]) -> int:
    """Insertions, deletions and substitutions that make one of the other (Levenshtein)."""
    row = list(range(len(found) + 1))
    for i, word in enumerate(wanted, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(found, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]
