"""What voxc uses of coremltools, imported once and without its chatter.

Nothing else in this backend imports coremltools' converters, so that a machine without it fails in one place. Only two
parts of it are used: the builder of ML programs, which checks the types and shapes of every operator as it is added,
and the exporter, which writes protobuf and weights. The front end for PyTorch and the pass pipeline are not: what an
operator computes in is the plan's to say.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections import defaultdict
from collections.abc import Iterator

LOGGER = "coremltools"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what coremltools prints, warns and logs to itself; errors are exceptions, which pass."""
    logger = logging.getLogger(LOGGER)
    disabled, logger.disabled = logger.disabled, True
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = disabled


with quiet():
    import coremltools as ct
    from coremltools import proto
    from coremltools.converters.mil.backend.mil.load import load as export
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import Function, Program, Var, types
    from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY

__all__ = [
    "Function",
    "Program",
    "Var",
    "ct",
    "drop_dead_code",
    "export",
    "fresh_names",
    "mb",
    "opset",
    "proto",
    "quiet",
    "types",
]


def opset(deployment: str) -> ct.target:
    """The operators that a system has: `iOS17` stands for macOS 14 and its like too."""
    return ct.target[deployment]


def drop_dead_code(program: Program) -> None:
    """Drops operators whose results nobody wants, the only pass of coremltools that runs."""
    PASS_REGISTRY["common::dead_code_elimination"](program)


@contextlib.contextmanager
def fresh_names() -> Iterator[None]:
    """The builder counts its constants over the whole process; here from zero, for equal names in equal programs."""
    counted, mb.name_count = mb.name_count, defaultdict(int)
    try:
        yield
    finally:
        mb.name_count = counted
