"""Perceived quality against a reference: wide-band PESQ (ITU-T P.862.2), a listening score from 1.04 to 4.64."""

from __future__ import annotations

from voxc.compiler.core.tensor import Array
from voxc.compiler.measure.quality.clips import SPEECH_RATE, Unmeasurable, is_silent
from voxc.compiler.measure.quality.needs import describe, load


def how() -> str:
    return f"PESQ-WB by {describe('pesq')}"


def pesq(pair: tuple[Array, Array]) -> float:
    """PESQ of reference and candidate audio, both [n] at 16 kHz, at most some 12 s: its tables hold 50 utterances.

    Raises:
        Unmeasurable: PESQ finds no utterance in the reference, or the candidate is silent.
        MissingRuntimeError: pesq is missing.
    """
    library = load("pesq")
    reference, candidate = pair
    if is_silent(candidate):
        raise Unmeasurable("the compared audio is silent")
    try:
        return float(library.pesq(SPEECH_RATE, reference, candidate, "wb"))
    except library.PesqError as error:
        raise Unmeasurable(f"PESQ found nothing to compare ({error})") from error
