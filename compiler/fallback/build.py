"""Puts a fallback into a bundle, and sees that it is the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from voxc.compiler.core.errors import CompileError
from voxc.compiler.core.fidelity import LEAST_FLOAT32_SNR_DB, snr_db
from voxc.compiler.core.program import Program
from voxc.compiler.core.tensor import Array
from voxc.compiler.fallback.network import Fallback
from voxc.compiler.fallback.write import write_fallback


def build_fallback(
    program: Program, cases: Sequence[tuple[Mapping[str, Array], Mapping[str, Array]]], directory: Path, threads: int
) -> tuple[Path, ...]:
    """Writes the fallback of a program that takes its noise as inputs; gives its files, the graph first. `cases` are
    inputs and what PyTorch has made of them.

    Raises:
        UnsupportedError: the graph calls something that fallbacks may not have.
        CompileError: what was written computes something else.
    """
    files = write_fallback(program, directory)
    fallback = Fallback.read(files[0], program.inputs, program.outputs, threads)
    for inputs, outputs in cases:
        found = fallback.run(inputs)
        for name, expected in outputs.items():
            snr = snr_db(expected, found[name])
            if snr < LEAST_FLOAT32_SNR_DB:
                raise CompileError(f"{program.name}: the fallback's {name} has an SNR of {snr:.1f} dB to PyTorch's own")
    return files
