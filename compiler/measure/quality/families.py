"""The two families of figures: how close to float32 PyTorch an artifact sounds, and how well it converts.

A metric that cannot be computed (no speech, too short, not finite, a library that is missing or fails) is a figure
without a number, and its `how` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

from voxc.compiler.core.errors import MissingRuntimeError
from voxc.compiler.core.fidelity import log_mel_distance, snr_db
from voxc.compiler.core.figure import Evidence, Figure, figure
from voxc.compiler.core.gates import METRICS, MOST_SNR_DB
from voxc.compiler.core.tensor import Array
from voxc.compiler.measure.quality import f0, mos, pesq, secs, stoi
from voxc.compiler.measure.quality.clips import (
    Clip,
    Unmeasurable,
    mean_over,
    measured_span,
    raw_pieces,
    speech_pairs,
    speech_pieces,
)

Measure = Callable[[str, str, Callable[[], float]], Figure]


def fidelity(reference: Array, candidate: Array, rate: int, *, evidence: Evidence = "host") -> dict[str, Figure]:
    """How close `candidate`, an artifact's audio, is to `reference`, float32 PyTorch's of the same input and seed.

    Both are mono float32 of any shape at `rate` Hz and are compared over their common length, in pieces of up to 10 s.
    `evidence` is how the artifact's audio was obtained.
    """
    first, second = Clip("the reference", reference, rate), Clip("the artifact's audio", candidate, rate)
    part = measured_span(first, second)
    pairs = cache(lambda: speech_pairs(first, second))
    embedding = cache(lambda clip: secs.embedding([clip]))
    measure = partial(metric_figure, evidence)
    return {
        "snr": measure("snr", f"energy of the difference{part}", lambda: bounded_snr(first, second)),
        "log_mel_distance": measure(
            "log_mel_distance",
            f"mean over 80 mel bands and 40 ms windows{part}",
            lambda: log_mel_mean(first, second),
        ),
        "stoi": measure("stoi", stoi.how() + part, lambda: mean_over(pairs(), stoi.stoi)),
        "pesq": measure("pesq", pesq.how() + part, lambda: mean_over(pairs(), pesq.pesq)),
        "secs": measure("secs", secs.how() + part, lambda: secs.similarity(embedding(first), embedding(second))),
        **pitch_figures(measure, lambda: f0.Contours.of(pairs()), f0.how() + part),
    }


def task(
    converted: Array,
    rate: int,
    source: Array,
    source_rate: int,
    references: Sequence[tuple[Array, int]],
    transpose: float = 0,
    *,
    evidence: Evidence = "host",
) -> dict[str, Figure]:
    """How well `converted` has the target speaker's voice and the source's melody, words and cleanness.

    Audio is mono float32 of any shape, each with its rate in Hz; `references` are recordings of the target speaker.
    The source's pitch contour is moved by `transpose` semitones before the comparison. `evidence` is how `converted`
    was obtained.
    """
    result, original = Clip("the converted audio", converted, rate), Clip("the source", source, source_rate)
    targets = [Clip("the target's recording", samples, hertz) for samples, hertz in references]
    part = measured_span(result, original)
    pairs = cache(lambda: speech_pairs(original, result))
    target = cache(lambda: secs.embedding(targets))
    near = cache(lambda clip: secs.similarity(secs.embedding([clip]), target()))
    measure = partial(metric_figure, evidence)
    pitch_how = f"{f0.how()}, source moved by {transpose:g} semitones{part}"
    return {
        "secs": measure("secs", f"{secs.how()}{measured_span(result)}, to the target speaker", lambda: near(result)),
        "secs_source": measure(
            "secs_source",
            f"{secs.how()}{measured_span(original)}, of the source to the target speaker",
            lambda: near(original),
        ),
        "secs_gain": measure("secs_gain", "secs - secs_source", lambda: near(result) - near(original)),
        **pitch_figures(measure, lambda: f0.Contours.of(pairs(), transpose), pitch_how),
        "mos": measure("mos", mos.how() + measured_span(result), lambda: mean_over(speech_pieces(result), mos.mos)),
        "mos_source": measure(
            "mos_source", mos.how() + measured_span(original), lambda: mean_over(speech_pieces(original), mos.mos)
        ),
        "stoi_source": measure(
            "stoi_source",
            f"{stoi.how()}{part}, against the source: a hint of how much of the words survived, as voices differ too",
            lambda: mean_over(pairs(), stoi.stoi),
        ),
    }


def pitch_figures(measure: Measure, contours: Callable[[], f0.Contours], how: str) -> dict[str, Figure]:
    contours = cache(contours)
    return {
        "f0_correlation": measure("f0_correlation", how, lambda: contours().correlation()),
        "f0_rmse": measure("f0_rmse", how, lambda: contours().rmse()),
        "f0_rmse_cents": measure("f0_rmse_cents", how, lambda: contours().rmse_cents()),
        "voicing_error": measure("voicing_error", how, lambda: contours().voicing_error()),
    }


def bounded_snr(reference: Clip, candidate: Clip) -> float:
    """SNR in dB of the pieces taken together, at most MOST_SNR_DB."""
    decibels = snr_db(*raw_pieces(reference, candidate))
    if decibels == -float("inf"):
        raise Unmeasurable(f"{reference.name} is all zero")
    return min(decibels, MOST_SNR_DB)


def log_mel_mean(reference: Clip, candidate: Clip) -> float:
    pieces = zip(*raw_pieces(reference, candidate), strict=True)
    return mean_over(pieces, lambda pair: log_mel_distance(*pair, reference.rate))


def metric_figure(evidence: Evidence, name: str, how: str, compute: Callable[[], float]) -> Figure:
    """The figure of one metric: a null with its reason, whatever fails."""
    unit = METRICS[name].unit
    try:
        return figure(compute(), unit, how, "the result is not a finite number", evidence)
    except (Unmeasurable, MissingRuntimeError) as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - what libraries raise must not cost the work that was measured
        reason = " ".join(f"{type(error).__name__}: {error}".split())
    return Figure(value=None, unit=unit, evidence=None, how=f"{how}: {reason}")
