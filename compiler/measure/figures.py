"""The figures of one component for the manifest: fidelity to float32 PyTorch, and latency beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch

from voxc.compiler.manifest import Evidence, Figure
from voxc.compiler.measure import fidelity
from voxc.compiler.measure.latency import WARM_UP_RUNS, Latency, interleave
from voxc.compiler.program import Component
from voxc.compiler.tensor import Array
from voxc.compiler.threads import torch_threads

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]

LATENCY_FIGURES = ("latency_median", "latency_p90", "latency_p99", "latency_min")


def fidelity_figures(
    expected: Array, found: Array, unit: str, audio_rate: int | None, how: str, evidence: Evidence = "host"
) -> dict[str, Figure]:
    """How close `found` is to float32 PyTorch's `expected`, both of the same inputs and noise and in `unit`.

    `audio_rate` is in Hz for audio, None for anything else.
    """
    snr = fidelity.snr_db(expected, found)
    figures = {
        "snr": figure(
            snr, "dB", how, "the outputs are equal" if snr > 0 else "the output is not finite or all zero", evidence
        )
    }
    if np.isfinite(found).all():
        figures["max_abs_error"] = figure(fidelity.max_abs_error(expected, found), unit, how, evidence=evidence)
        if audio_rate is not None:
            distance = fidelity.log_mel_distance(expected, found, audio_rate)
            told = f"{how}; mean over 80 mel bands and 40 ms windows"
            figures["log_mel_distance"] = figure(distance, "ln", told, evidence=evidence)
    return figures


def latency_figures(
    component: Component,
    run: Run,
    inputs: Mapping[str, Array],
    *,
    runtime: str,
    threads: int,
    seconds_of_audio: float,
    tick: Callable[[str], None],
) -> dict[str, Figure]:
    """Latency of `run`, and of eager PyTorch timed between its runs, on the same inputs and threads."""
    arguments = [torch.from_numpy(inputs[spec.name]) for spec in component.inputs]

    def eager() -> object:
        with torch.inference_mode():
            return component.module(*arguments)

    with torch_threads(threads):
        taken = interleave({"artifact": lambda: run(inputs), "eager": eager}, tick=tick)
    artifact, baseline = taken["artifact"], taken["eager"]
    how = f"{runtime}, {told(artifact, threads)}, in turn with eager PyTorch"
    eager_how = f"PyTorch {torch.__version__} eager float32, {told(baseline, threads)}, in turn with the artifact"
    rate_how = f"latency_median / {seconds_of_audio:g} s of audio; below 1 is faster than real time"
    percentiles = dict(zip(LATENCY_FIGURES, (50, 90, 99, 0), strict=True))
    return {
        **{name: figure(artifact.percentile(at) * 1e3, "ms", how) for name, at in percentiles.items()},
        "eager_latency_median": figure(baseline.median * 1e3, "ms", eager_how),
        "eager_latency_min": figure(baseline.least * 1e3, "ms", eager_how),
        "speedup": figure(baseline.median / artifact.median, "x", "eager_latency_median / latency_median"),
        "real_time_factor": figure(
            artifact.median / seconds_of_audio, "x", rate_how
        ),
    }  # fmt: skip


def missing_latency(reason: str) -> dict[str, Figure]:
    """The same figures without numbers."""
    units = {**dict.fromkeys(LATENCY_FIGURES, "ms"), "speedup": "x", "real_time_factor": "x"}
    return {name: Figure(value=None, unit=unit, evidence=None, how=reason) for name, unit in units.items()}


def figure(value: float, unit: str, how: str, otherwise: str = "", evidence: Evidence = "host") -> Figure:
    """A figure of six digits, or none and `otherwise` where the value is not finite."""
    if not math.isfinite(value):
        return Figure(value=None, unit=unit, evidence=None, how=f"{how}: {otherwise}")
    return Figure(value=float(f"{value:.6g}"), unit=unit, evidence=evidence, how=how)


def told(latency: Latency, threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}, {len(latency.seconds)} runs after {WARM_UP_RUNS} warm-ups"
