"""The tests of given choices, with the recogniser where it is installed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

pytest.importorskip("pocketsphinx")
from corpus import Utterance
from rhyme import CHOICE, RHYMES, above_chance, answer, choices, rhyme_questions, sounds, word_questions

from voxc.compiler.families.rvc.files import demo_directory

SENTENCE = "Turn left at the second light and keep going for about a mile."


def test_rhymes_differ_in_one_sound():
    asked = list(rhyme_questions(SENTENCE))
    assert [question.about_vowel for question in asked] == [True, False] * 7
    for question in asked:
        word = question.sentence[question.place]
        assert sounds(question.right) == sounds(word)
        assert len({question.right, *question.wrong}) == RHYMES
        for other in question.wrong:
            assert len(sounds(other)) == len(sounds(word))
            assert sum(a != b for a, b in zip(sounds(other), sounds(word), strict=True)) == 1
    assert asked == list(rhyme_questions(SENTENCE))


def test_words_to_choose_from_sound_alike():
    asked = {question.right: question for question in word_questions(SENTENCE)}
    assert list(asked) == ["turn", "left", "second", "light", "keep", "going", "mile"]
    assert all(len({*question.wrong} - {question.right}) == CHOICE - 1 for question in asked.values())
    assert {"night", "late"} <= set(asked["light"].wrong)


def test_what_guessing_gives_is_taken_off():
    assert above_chance(np.array([True, True]), RHYMES) == 1
    assert above_chance(np.array([True, False, False, False, False, False]), RHYMES) == 0


def test_the_sample_is_understood_and_noise_is_not():
    audio, _ = soundfile.read(demo_directory() / "sample.flac", dtype="float32")
    text = json.loads((demo_directory() / "voice.json").read_text())["sample_text"]
    said = [Utterance("source", text, audio, np.zeros(0, np.uint8))]
    assert choices(said, [audio])["rhyme_test"] > 0.6
    noise = np.random.default_rng(0).normal(0, 0.05, len(audio)).astype(np.float32)
    assert choices(said, [noise])["rhyme_test"] < 0.4


def test_no_answer_to_too_little_sound():
    question = list(word_questions(SENTENCE))[-1]
    assert answer(question, np.zeros(3200, np.float32)) is None
