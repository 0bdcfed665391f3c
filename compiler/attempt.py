"""The same step for several targets, of which some may be left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from voxc.compiler.core.errors import CompileError, MissingRuntimeError, RecipeError, VoxcError
from voxc.compiler.core.target import Target

Skip = Callable[[Target, VoxcError], None]
#: What says that a target cannot be compiled for here, or not as requested.
UNABLE = (RecipeError, CompileError, MissingRuntimeError)


def attempt(targets: Sequence[Target], step: Callable[[Target], None], skip: Skip | None) -> tuple[Target, ...]:
    """The targets for which a step went well.

    Raises:
        VoxcError: of the first that cannot be compiled for if nothing may be left out, or if nothing is left.
    """
    able, refusals = [], []
    for target in targets:
        try:
            step(target)
        except UNABLE as error:
            if skip is None:
                raise
            skip(target, error)
            refusals.append(error)
        else:
            able.append(target)
    if refusals and not able:
        raise refusals[0]
    return tuple(able)
