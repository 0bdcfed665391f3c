"""Outputs compared with their reference."""

from typing import Any, Dict

from voxc.compiler.core.device_errors import BundleError
from voxc.compiler.device.agent.bundle import Arrays


def compare(expected: Arrays, outputs: Arrays, bound: float) -> Dict[str, Any]:
    """The worst signal-to-noise ratio in dB of the outputs, and their largest and mean differences to `expected`: of
    several outputs, those of the worst.

    The noise is the difference, the signal what the reference does around its mean. The outputs pass if the ratio is at
    least `bound`. It is null where outputs are equal, or not finite; then the differences are null as well.

    Raises:
        BundleError: an output is missing.
    """
    import numpy as np

    ratios, largest, mean = [], 0.0, 0.0
    for name, array in expected.items():
        if name not in outputs:
            raise BundleError(f"the runtime gives {', '.join(outputs)}, not {name}")
        reference = np.asarray(array, np.float64)
        output = np.asarray(outputs[name], np.float64).reshape(reference.shape)
        if not np.isfinite(output).all():
            return {"snr_db": None, "max_abs_error": None, "mean_abs_error": None, "passed": False}
        difference = np.abs(reference - output)
        largest, mean = max(largest, float(difference.max())), max(mean, float(difference.mean()))
        noise, signal = np.sum((reference - output) ** 2), np.sum((reference - reference.mean()) ** 2)
        if noise > 0:
            ratios.append(float(10 * np.log10(signal / noise)) if signal > 0 else -1e9)
    worst = min(ratios) if ratios else None
    return {
        "snr_db": worst, "max_abs_error": largest, "mean_abs_error": mean, "passed": worst is None or worst >= bound
    }  # fmt: skip
