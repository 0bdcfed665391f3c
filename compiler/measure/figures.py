"""The figures of one component for the manifest: fidelity to float32 PyTorch, and latency beside it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from voxc.compiler.core import fidelity
from voxc.compiler.core.component import Component
from voxc.compiler.core.figure import Evidence, Figure, figure, runs_per_second
from voxc.compiler.core.plan import Precision
from voxc.compiler.core.tensor import Array
from voxc.compiler.core.threads import torch_threads
from voxc.compiler.measure.latency import SETTLED, WARM_UP_RUNS, Latency, interleave

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class Floats:
    """A component without integers: what it computes in instead, and how to run it."""

    precision: Precision
    run: Run


LATENCY_FIGURES = ("latency_median", "latency_p90", "latency_p99", "latency_min")


def fidelity_figures(
    expected: Array, result: Array, unit: str, audio_rate: int | None, how: str, evidence: Evidence = "host"
) -> dict[str, Figure]:
    """How close `result` is to float32 PyTorch's `expected`, both of the same inputs and noise and in `unit`.

    `audio_rate` is in Hz for audio, None for anything else.
    """
    snr = fidelity.snr_db(expected, result)
    figures = {
        "snr": figure(
            snr, "dB", how, "the outputs are equal" if snr > 0 else "the output is not finite or all zero", evidence
        )
    }
    if np.isfinite(result).all():
        for name, error in (("max_abs_error", fidelity.max_abs_error), ("mean_abs_error", fidelity.mean_abs_error)):
            figures[name] = figure(error(expected, result), unit, how, evidence=evidence)
        if audio_rate is not None:
            distance = fidelity.log_mel_distance(expected, result, audio_rate)
            mel_how = f"{how}; mean over 80 mel bands and 40 ms windows"
            figures["log_mel_distance"] = figure(distance, "ln", mel_how, evidence=evidence)
    return figures


def component_fidelity(
    component: Component, expected: Mapping[str, Array], outputs: Mapping[str, Array], how: str, evidence: Evidence
) -> dict[str, Figure]:
    """The figures of a component: those of its output that is furthest from float32 PyTorch's. With several outputs,
    those that differ have their SNR beside them, as `snr_NAME`."""
    figures = {
        spec.name: fidelity_figures(
            expected[spec.name], outputs[spec.name], spec.unit, component.audio_rate, how, evidence
        )
        for spec in component.outputs
    }
    if len(figures) == 1:
        return next(iter(figures.values()))
    snr = {name: fidelity.snr_db(expected[name], outputs[name]) for name in figures}
    worst = min(snr, key=lambda name: snr[name])
    return {**figures[worst], **{f"snr_{name}": figures[name]["snr"] for name in figures if snr[name] < np.inf}}


def latency_figures(
    component: Component,
    run: Run,
    inputs: Mapping[str, Array],
    floats: Floats | None = None,
    *,
    runtime: str,
    threads: int,
    seconds_of_audio: float | None,
    tick: Callable[[str], None],
) -> dict[str, Figure]:
    """Latency of `run`, in turn with eager PyTorch and, if `run` computes in integers, with the same network in floats;
    all on the same inputs and threads. `seconds_of_audio` is None for a network without time."""
    arguments = [torch.from_numpy(inputs[spec.name]) for spec in component.inputs]

    def eager() -> object:
        with torch.inference_mode():
            return component.module(*arguments)

    contenders: dict[str, Callable[[], object]] = {"artifact": lambda: run(inputs), "eager": eager}
    if floats is not None:
        contenders["floats"] = functools.partial(floats.run, inputs)
    with torch_threads(threads):
        times = interleave(contenders, settled=SETTLED, tick=tick)
    artifact, baseline = times["artifact"], times["eager"]
    how = f"{runtime}, {describe_runs(artifact, threads)}, in turn with eager PyTorch"
    eager_how = (
        f"PyTorch {torch.__version__} eager float32, {describe_runs(baseline, threads)}, in turn with the artifact"
    )
    percentiles = dict(zip(LATENCY_FIGURES, (50, 90, 99, 0), strict=True))
    latencies = {name: figure(artifact.percentile(at) * 1e3, "ms", how) for name, at in percentiles.items()}
    return {
        **latencies,
        "runs_per_second": runs_per_second(latencies["latency_median"]),
        "eager_latency_median": figure(baseline.median * 1e3, "ms", eager_how),
        "eager_latency_min": figure(baseline.least * 1e3, "ms", eager_how),
        "speedup": figure(baseline.median / artifact.median, "x", "eager_latency_median / latency_median"),
        "real_time_factor": real_time_factor(artifact, seconds_of_audio),
        **(floats_figures(floats.precision, artifact, times["floats"], how) if floats else {}),
    }  # fmt: skip


def real_time_factor(artifact: Latency, seconds_of_audio: float | None) -> Figure:
    if seconds_of_audio is None:
        return Figure(value=None, unit="x", evidence=None, how="the network has no time axis")
    how = f"latency_median / {seconds_of_audio:g} s of audio; below 1 is faster than real time"
    return figure(artifact.median / seconds_of_audio, "x", how)


def floats_figures(precision: Precision, artifact: Latency, floats: Latency, how: str) -> dict[str, Figure]:
    """Whether integers pay on this machine, which depends on its CPU."""
    ratio = floats.median / artifact.median
    advice = f": no faster than floats on this machine; --precision {precision} is" if ratio <= 1 else ""
    return {
        "floats_latency_median": figure(floats.median * 1e3, "ms", f"the same network in {precision}, {how}"),
        "speedup_over_floats": figure(ratio, "x", f"floats_latency_median / latency_median{advice}"),
    }


def missing_latency(reason: str) -> dict[str, Figure]:
    """The same figures without numbers."""
    units = {**dict.fromkeys(LATENCY_FIGURES, "ms"), "runs_per_second": "1/s", "speedup": "x", "real_time_factor": "x"}
    return {name: Figure(value=None, unit=unit, evidence=None, how=reason) for name, unit in units.items()}


def describe_runs(latency: Latency, threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}, {len(latency.seconds)} runs after {WARM_UP_RUNS} warm-ups"
