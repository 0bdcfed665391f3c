"""One set of 40 phonemes (ARPAbet without stress, and the pause) for what the three engines call theirs."""

from __future__ import annotations

import numpy as np

PAUSE = "pau"
PHONEMES = (
    PAUSE, "aa", "ae", "ah", "ao", "aw", "ay", "b", "ch", "d", "dh", "eh", "er", "ey", "f", "g", "hh", "ih", "iy", "jh",
    "k", "l", "m", "n", "ng", "ow", "oy", "p", "r", "s", "sh", "t", "th", "uh", "uw", "v", "w", "y", "z", "zh",
)  # fmt: skip
NUMBER = {phoneme: number for number, phoneme in enumerate(PHONEMES)}

# Festival's and flite's radio phones that are not among the 40.
RADIO = {
    "ax": "ah", "axr": "er", "dx": "t", "el": "l", "em": "m", "en": "n", "hv": "hh", "nx": "n", "h#": "pau",
    "brth": "pau",
}  # fmt: skip
# espeak-ng's mnemonics for American English; one with two phonemes is a vowel and the r that colours its end.
ESPEAK = {
    "_": "pau", "_:": "pau", "_!": "pau", "_|": "pau", "D": "dh", "T": "th", "S": "sh", "Z": "zh", "N": "ng",
    "tS": "ch", "dZ": "jh", "j": "y", "h": "hh", "r-": "r", "t#": "t", "t2": "t", "?": "t", "n-": "n",
    "@L": "l", "@2": "ah", "@": "ah", "@5": "ah", "V": "ah", "a#": "ah", "0": "aa", "A:": "aa", "A": "aa",
    "a": "ae", "aa": "ae", "E": "eh", "I": "ih", "I2": "ih", "I#": "ih", "i": "iy", "i:": "iy", "U": "uh",
    "u:": "uw", "u": "uw", "O:": "ao", "O2": "ao", "O": "ao", "3": "er", "3:": "er", "eI": "ey", "aI": "ay",
    "OI": "oy", "aU": "aw", "oU": "ow", "aI@": "ay r", "aI3": "ay r", "U@": "uh r", "A@": "aa r", "O@": "ao r",
    "o@": "ao r", "e@": "eh r", "i@": "iy r", "i@3": "iy r",
}  # fmt: skip
PROLONGATION = ";"  # espeak-ng's event for the rest of the phoneme before
VOWEL_SHARE = 0.6  # of an r-coloured vowel

HOP, CENTRE, RATE = 320, 200, 16000  # content frame n covers samples 320 n to 320 n + 399


def from_radio(name: str) -> int:
    return NUMBER[RADIO.get(name, name)]


def from_espeak(events: list[tuple[float, str]], seconds: float) -> list[tuple[float, int]]:
    """espeak-ng's (start, mnemonic) as (start, number); the coloured vowels in two parts."""
    phonemes: list[tuple[float, int]] = []
    ends = [start for start, _ in events[1:]] + [seconds]
    for (start, name), end in zip(events, ends, strict=True):
        if name == PROLONGATION or not name:
            continue
        vowel, _, colour = ESPEAK.get(name, name).partition(" ")
        phonemes.append((start, NUMBER[vowel]))
        if colour:
            phonemes.append((start + VOWEL_SHARE * (end - start), NUMBER[colour]))
    return phonemes


def frame_labels(phonemes: list[tuple[float, int]], frames: int) -> np.ndarray:
    """(start in seconds, number) in order -> uint8 [frames], the phoneme at the middle of each content frame."""
    starts = np.array([start for start, _ in phonemes])
    numbers = np.array([NUMBER[PAUSE], *(number for _, number in phonemes)], dtype=np.uint8)
    middles = (HOP * np.arange(frames) + CENTRE) / RATE
    return numbers[np.searchsorted(starts, middles, side="right")]
