"""How much of what was said is told from its like: two tests of given choices, with pocketsphinx as the listener.

The sentence is known but for one word, for which several are offered, all of them as likely as each other. So neither
vocabulary nor language model helps or hinders: what is left is how it sounds. What guessing alone would get right is
taken off.

- Rhyme test: six that differ in one sound, as in the Modified Rhyme Test (House et al., 1965; ANSI/ASA S3.2). A vowel
  or a consonant of the word is replaced by five others, drawn once for good.
- Word choice: ten words as in sentence tests of the matrix kind (Hagerman, 1982), here the right one and the nine that
  sound most like it among all that the training grammar and the held-out sentences have.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pocketsphinx
import sentences
from corpus import Utterance
from phonemes import PAUSE, PHONEMES
from recogniser import RATE, edits, listen, words

RHYMES, CHOICE = 6, 10
VOWELS = tuple(name.upper() for name in PHONEMES if name[0] in "aeiou")
CONSONANTS = tuple(name.upper() for name in PHONEMES if name[0] not in "aeiou" and name != PAUSE)
LITTLE_WORDS = frozenset(
    sentences.listed("""
    a about all an and as at away be been before by could for from get had has have he her him his how i if in is it
    let me my no not of off on or our out she should so some than that the their them then there they this to us was
    we were what when whether who will with would you
    """)
)
# So wide that the search never gives up on the right word before it has been heard to its end.
BEAMS = {"beam": 1e-100, "wbeam": 1e-80, "pbeam": 1e-100}


@dataclass(frozen=True)
class Question:
    """Which of those offered stands at `place` in the sentence?"""

    sentence: tuple[str, ...]
    place: int
    right: str  # as the decoder knows it, as are `wrong`
    wrong: tuple[str, ...]
    about_vowel: bool = False


@cache
def grammar_decoder() -> pocketsphinx.Decoder:
    return pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL", lm=None, **BEAMS)


@cache
def sounds(word: str) -> tuple[str, ...]:
    """Empty for a word that the recogniser does not know."""
    return tuple((grammar_decoder().lookup_word(word) or "").split())


@cache
def vocabulary() -> tuple[str, ...]:
    lists = (*sentences.SLOTS.values(), sentences.HELD_OUT)
    found = {word for texts in lists for text in texts for word in words(text)}
    return tuple(sorted(word for word in found - LITTLE_WORDS if sounds(word)))


def rhyme_questions(text: str) -> Iterator[Question]:
    """One about a vowel and one about a consonant of every word that is no little one; the same for the same text."""
    sentence, chance = tuple(words(text)), random.Random(zlib.crc32(text.encode()))
    for place, word in enumerate(sentence):
        if word in LITTLE_WORDS:
            continue
        for kind in (VOWELS, CONSONANTS):
            places = [number for number, sound in enumerate(sounds(word)) if sound in kind]
            if places:
                at = chance.choice(places)
                said = sounds(word)[at]
                others = chance.sample([sound for sound in kind if sound != said], RHYMES - 1)
                right, *wrong = (rhyme(word, at, sound) for sound in (said, *others))
                yield Question(sentence, place, right, tuple(wrong), kind is VOWELS)


def rhyme(word: str, at: int, sound: str) -> str:
    """The name under which the decoder knows `word` with `sound` at `at`."""
    name, said = f"{word}_{at}_{sound.lower()}", sounds(word)
    if grammar_decoder().lookup_word(name) is None:
        grammar_decoder().add_word(name, " ".join((*said[:at], sound, *said[at + 1 :])), False)
    return name


def word_questions(text: str) -> Iterator[Question]:
    sentence = tuple(words(text))
    for place, word in enumerate(sentence):
        if word not in LITTLE_WORDS:
            said = list(sounds(word))
            others = [other for other in vocabulary() if sounds(other) != sounds(word)]
            nearest = sorted(others, key=lambda other, said=said: edits(said, list(sounds(other))))
            yield Question(sentence, place, word, tuple(nearest[: CHOICE - 1]))


def answer(question: Question, audio: np.ndarray) -> str | None:
    """One of those offered, or None where the sound ends before it could be said; audio float [samples] at 16 kHz."""
    offered = (question.right, *question.wrong)
    parts = list(question.sentence)
    parts[question.place] = f"({' | '.join(offered)})"
    decoder = grammar_decoder()
    decoder.add_jsgf_string("sentence", f"#JSGF V1.0; grammar sentence; public <all> = {' '.join(parts)};")
    decoder.activate_search("sentence")
    guess = listen(decoder, audio).hyp()
    heard = guess.hypstr.split() if guess else []
    return heard[question.place] if question.place < len(heard) else None


def choices(said: list[Utterance], audio: list[np.ndarray]) -> dict[str, float | int]:
    """Shares of right answers, 1 if all are and 0 for guessing; no answer is a wrong one."""
    rhymes, right = ask(rhyme_questions, said, audio)
    vowels = np.array([question.about_vowel for question in rhymes])
    asked, chosen = ask(word_questions, said, audio)
    return {
        "rhyme_questions": len(rhymes),
        "rhyme_test": above_chance(right, RHYMES),
        "rhyme_test_vowels": above_chance(right[vowels], RHYMES),
        "rhyme_test_consonants": above_chance(right[~vowels], RHYMES),
        "word_choices": len(asked),
        "word_choice": above_chance(chosen, CHOICE),
    }


def ask(
    about: Callable[[str], Iterator[Question]], said: list[Utterance], audio: list[np.ndarray]
) -> tuple[list[Question], np.ndarray]:
    """The questions and bool [n], which were answered rightly."""
    asked = [(question, sound) for one, sound in zip(said, audio, strict=True) for question in about(one.text)]
    right = [answer(question, sound) == question.right for question, sound in asked]
    return [question for question, _ in asked], np.array(right)


def above_chance(right: np.ndarray, offered: int) -> float:
    """bool [n] -> (right - wrong / (offered - 1)) / n, as in the standard."""
    return round(float(right.mean() - (~right).mean() / (offered - 1)), 3)
