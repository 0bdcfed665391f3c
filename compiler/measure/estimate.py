"""Roofline estimates: how long a component would take on a device that is not here, from its peaks.

An operator takes as long as its arithmetic at the peak rate or its bytes at the peak bandwidth, whichever is longer,
plus a launch. No device reaches its peaks, so the sum ranks variants and is not a latency.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voxc.compiler.core.cost import Arithmetic, Cost, costs
from voxc.compiler.core.figure import Figure, figure
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Peaks, Target

#: What a device computes in if it has no units for an arithmetic.
INSTEAD: Mapping[Arithmetic, tuple[Arithmetic, ...]] = {
    "int8": ("int8", "float16", "float32"),
    "float16": ("float16", "float32"),
    "float32": ("float32", "float16"),
}


FORMULA = "roofline, max(2 * MACs / rate, bytes / bandwidth) + launch,"


@dataclass(frozen=True)
class Estimate:
    """Seconds for a component, and their inputs: multiply-accumulates by arithmetic, and bytes."""

    seconds: float
    macs: Mapping[Arithmetic, int]
    bytes: float
    operators: int
    peaks: Peaks

    @property
    def how(self) -> str:
        """The formula and its inputs, for people."""
        peaks = self.peaks
        products = [
            f"{count / 1e9:.4g} G MACs at {peaks.rates[kind]:g} G {kind} operations/s"
            for kind, count in sorted(self.macs.items())
        ]
        inputs = [*products, f"{self.bytes / 1e6:.4g} MB at {peaks.bandwidth:g} GB/s", f"{peaks.launch:g} us to launch"]
        return (
            f"roofline: the sum over {self.operators} operators of max(2 * MACs / rate, bytes / bandwidth) + launch; "
            f"{', '.join(inputs)}; peaks: {peaks.source}; a bound from below that ranks variants, not a latency"
        )


def inputs_of(peaks: Peaks) -> str:
    """The inputs of the formula that a device has, for people."""
    rates = ", ".join(f"{rate:g} G {kind} operations/s" for kind, rate in sorted(peaks.rates.items()))
    return f"{rates}, {peaks.bandwidth:g} GB/s, {peaks.launch:g} us to launch; peaks: {peaks.source}"


def estimate(work: Sequence[Cost], peaks: Peaks) -> Estimate:
    """The time that operators take one after another at a device's peaks."""
    macs: Counter[Arithmetic] = Counter()
    seconds = 0.0
    for each in work:
        kind = fastest(each.arithmetic, peaks)
        arithmetic = 2 * each.macs / (peaks.rates[kind] * 1e9)
        seconds += max(arithmetic, each.bytes / (peaks.bandwidth * 1e9)) + peaks.launch / 1e6
        macs[kind] += each.macs
    used = {kind: count for kind, count in macs.items() if count}
    return Estimate(seconds, used, sum(each.bytes for each in work), len(work), peaks)


def fastest(arithmetic: Arithmetic, peaks: Peaks) -> Arithmetic:
    """The units that a device has for an arithmetic: its own, or wider ones."""
    return next(kind for kind in (*INSTEAD[arithmetic], *peaks.rates) if kind in peaks.rates)


def estimate_figures(program: Program, target: Target) -> dict[str, Figure]:
    """The figure `latency_estimate` of a program with its plan, before integers are inserted; none for a target
    without peaks."""
    if target.peaks is None:
        return {}
    result = estimate(costs(program, target), target.peaks)
    return {"latency_estimate": figure(result.seconds * 1e3, "ms", result.how, evidence="estimate")}
