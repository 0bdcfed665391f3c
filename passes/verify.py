"""A pass under test: the graph runs before and after it, and its outputs may move no further than the pass says."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from voxc.compiler.core.errors import PassError
from voxc.compiler.core.fidelity import max_abs_error, snr_db
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult


def run_verified(compiler_pass: Pass, program: Program, target: Target, tensors: Mapping[str, Tensor]) -> PassResult:
    """The result of a pass; if it changed the graph, both graphs run on `tensors` (inputs and noise by name).

    Raises:
        PassError: a check of the pass failed, or an output moved further than its bounds allow.
    """
    result = compiler_pass(program, target)
    if result.program.exported is not program.exported:
        after = result.program.run(tensors)
        for name, expected in program.run(tensors).items():
            check_output(compiler_pass, f"{name} of {program.name}", expected, after[name])
    return result


def check_output(compiler_pass: Pass, output: str, expected: Tensor, actual: Tensor) -> None:
    """Raises PassError if an output is further from what it was than the pass may move it."""
    if compiler_pass.least_snr is None:
        error = max_abs_error(expected.numpy(), actual.numpy())
        if not error <= compiler_pass.tolerance:
            raise PassError(
                f"{compiler_pass.name} moved {output} by {error:.2g}, more than its tolerance of "
                f"{compiler_pass.tolerance:.2g}"
            )
        return
    ratio = snr_db(expected.numpy(), actual.numpy())
    if not ratio >= compiler_pass.least_snr:
        raise PassError(
            f"{compiler_pass.name} moved {output} to a signal-to-noise ratio of {ratio:.1f} dB, below its bound of "
            f"{compiler_pass.least_snr:g} dB"
        )
