from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.recipe import Override, PrecisionRecipe, read_recipe
from voxc.compiler.core.target import Target

RECIPE = """
policy: int8
overrides: {"dec.*": fp32, enc_p.emb_phone: int8}
observer: percentile
min_snr: 20
"""


def read(tmp_path: Path, text: str) -> PrecisionRecipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return read_recipe(path)


def test_a_file_is_a_recipe(tmp_path: Path) -> None:
    recipe = read(tmp_path, RECIPE)
    assert (recipe.policy, recipe.observer, recipe.min_snr) == ("int8", "percentile", 20)
    assert [str(override) for override in recipe.overrides] == ["dec.*=fp32", "enc_p.emb_phone=int8"]


def test_options_go_before_the_file(tmp_path: Path) -> None:
    recipe = read(tmp_path, RECIPE).with_options(["mixed", "dec.ups.*=int8"], observer="minmax")
    assert (recipe.policy, recipe.observer, recipe.min_snr) == ("mixed", "minmax", 20)
    assert recipe.overrides[-1] == Override(pattern="dec.ups.*", precision="int8")
    assert len(recipe.overrides) == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("policy: int5", "policy: Input should be"),
        ("colour: red", "colour: Extra inputs"),
        ("- int8", "must be a mapping"),
        ("overrides: [a]", "must be a mapping, and so must its overrides"),
        ("overrides: {a: auto}", "no precision 'auto'; modules take fp32"),
        ("min_snr: -3", "min_snr"),
        ("policy: {", "not readable as YAML"),
    ],
)
def test_a_wrong_file_is_an_error_that_says_where(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("precision", "options", "complaint"),
    [
        (["fp8"], {}, "no precision 'fp8'; there are fp32, fp16"),
        (["dec.*=fp8"], {}, "no precision 'fp8'; modules take"),
        ([], {"observer": "oracle"}, "--observer"),
        ([], {"min_snr": -1.0}, "--min-snr"),
    ],
)
def test_wrong_options_are_errors(precision: list[str], options: dict[str, object], complaint: str) -> None:
    with pytest.raises(RecipeError, match=complaint):
        PrecisionRecipe().with_options(precision, **options)  # type: ignore[arg-type]


def test_a_target_says_why_it_lacks_a_precision(target: Target) -> None:
    poor = target.model_copy(update={"precisions": ("fp32",), "absent": {"int8": "no integer units"}})
    assert PrecisionRecipe().policy_for(poor) == "fp32"
    for recipe in (PrecisionRecipe(policy="int8"), PrecisionRecipe().with_options(["a=int8"])):
        with pytest.raises(RecipeError, match=r"has no precision 'int8' \(no integer units\); it has fp32"):
            recipe.policy_for(poor)


@pytest.fixture
def choosing(target: Target) -> Target:
    return target.model_copy(update={"implicit": "convolutions", "precisions": ("fp16", "int8", "auto")})


def test_what_is_left_to_the_runtime(tmp_path: Path, choosing: Target) -> None:
    asked = PrecisionRecipe().with_options(["int8"], implicit=True)
    assert asked.policy_for(choosing) == "int8"
    assert read(tmp_path, "policy: int8\nimplicit: true\n") == asked
    assert PrecisionRecipe().with_options(["a=int8"], implicit=True).policy_for(choosing) == "fp16"


def test_what_cannot_be_left_to_the_runtime(choosing: Target) -> None:
    asked = PrecisionRecipe().with_options(["int8"], implicit=True)
    deaf = choosing.model_copy(update={"implicit": None})
    with pytest.raises(RecipeError, match="its runtime does not choose integers itself; leave out --implicit"):
        asked.policy_for(deaf)
    with pytest.raises(RecipeError, match="with fp16 nothing may be int8; add --precision int8"):
        PrecisionRecipe().with_options(implicit=True).policy_for(choosing)
    with pytest.raises(RecipeError, match="--plan says what is left to the runtime; leave out --implicit"):
        PrecisionRecipe().with_options(plan=Path("plan.json"), implicit=True).policy_for(choosing)


def test_what_a_target_only_emulates_is_for_those_who_allow_it(target: Target) -> None:
    absent = {"int8": "no integer units"}
    board = target.model_copy(
        update={"precisions": ("fp32",), "absent": absent, "emulated": {"int8": "w8", "w8": "w8"}}
    )
    for asked in (PrecisionRecipe(policy="int8"), PrecisionRecipe().with_options(["dec.*=int8"])):
        told = r"no precision 'int8' \(no integer units; --allow-emulated saves those bytes\); it has fp32"
        with pytest.raises(RecipeError, match=told):
            asked.on(board)
    asked = PrecisionRecipe().with_options(["int8", "dec.*=int8", "enc.*=fp32"], allow_emulated=True)
    stands = asked.on(board)
    assert stands.policy_for(board) == "w8"
    assert [str(override) for override in stands.overrides] == ["dec.*=w8", "enc.*=fp32"]
    assert stands.on(board) == stands
    with pytest.raises(RecipeError, match="has no precision 'int4'; it has fp32"):
        asked.with_options(["int4"]).on(board)


def test_emulation_is_nothing_to_those_who_have_the_precision(target: Target) -> None:
    asked = PrecisionRecipe(policy="int8", allow_emulated=True)
    assert asked.on(target) == asked
    assert not asked.emulates(target)
    assert PrecisionRecipe(allow_emulated=True).on(target).policy is None
