from __future__ import annotations

import pytest

from voxc.compiler.attempt import attempt
from voxc.compiler.core.errors import BundleError, RecipeError, VoxcError
from voxc.compiler.core.target import Target, load_targets

TARGETS = list(load_targets().values())[:3]
FIRST, SECOND, THIRD = TARGETS


def refusing(error: VoxcError, *targets: Target) -> object:
    def step(target: Target) -> None:
        if target in targets:
            raise error

    return step


def test_what_cannot_be_compiled_for_is_left_out_with_its_reason() -> None:
    skipped: list[tuple[Target, VoxcError]] = []
    error = RecipeError("no")
    able = attempt(TARGETS, refusing(error, SECOND), lambda *each: skipped.append(each))  # type: ignore[arg-type]
    assert able == (FIRST, THIRD)
    assert skipped == [(SECOND, error)]


def test_without_leave_to_skip_it_is_an_error() -> None:
    with pytest.raises(RecipeError, match="no"):
        attempt(TARGETS, refusing(RecipeError("no"), SECOND), None)  # type: ignore[arg-type]


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(RecipeError, match="no"):
        attempt(TARGETS, refusing(RecipeError("no"), *TARGETS), lambda *each: None)  # type: ignore[arg-type]


def test_another_error_is_no_reason_to_go_on() -> None:
    with pytest.raises(BundleError):
        attempt(TARGETS, refusing(BundleError("x"), SECOND), lambda *each: None)  # type: ignore[arg-type]
