"""What is asked of the precision of a voice: a policy, exceptions by module, and a bound for the search."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.plan import Policy, Precision
from voxc.compiler.core.target import Target, first_complaint

#: Observers that calibration can find ranges with.
Observer = Literal["minmax", "percentile", "entropy", "mse"]

# The quality that a search holds on to unless told otherwise: what the best published int8 vocoders reach.
DEFAULT_MIN_SNR_DB = 25.0
#: What may ask for integers.
INTEGERS: frozenset[Policy] = frozenset({"int8", "mixed", "auto"})


class Override(BaseModel):
    """What the modules or nodes that a pattern (as of the shell) matches compute in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: str
    precision: Precision

    def __str__(self) -> str:
        return f"{self.pattern}={self.precision}"


class PrecisionRecipe(BaseModel):
    """`policy` of None is the target's own; `overrides` go before it, the later before the earlier.

    `min_snr` in dB is what every component has to keep of float32 where anything is quantized. `calibration` is an NPZ
    of inputs, a recording or a directory of recordings; `plan` is a plan or a bundle to take everything from instead.
    `implicit` leaves it to the runtime, by its own timing, which int8 layers compute in floats after all.
    With `allow_emulated`, what a target has no arithmetic for only makes the bundle smaller, where it can do that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Policy | None = None
    overrides: tuple[Override, ...] = ()
    observer: Observer = "mse"
    min_snr: float | None = Field(default=None, gt=0)
    calibration: Path | None = None
    plan: Path | None = None
    implicit: bool = False
    allow_emulated: bool = False

    def policy_for(self, target: Target) -> Policy:
        """What a target computes in, apart from the overrides.

        Raises:
            RecipeError: it has no such precision, says why where targets.yaml does; or nothing is there to be implicit.
        """
        policy = self.policy or target.default_precision
        for wanted in self.asked(target):
            if wanted not in self.allowed(target):
                raise RecipeError(refusal(target, wanted))
        if self.implicit:
            self.check_implicit(target, policy)
        return policy

    def asked(self, target: Target) -> tuple[Policy, ...]:
        """The policy for a target, and what exceptions ask for."""
        return (self.policy or target.default_precision, *(override.precision for override in self.overrides))

    def allowed(self, target: Target) -> frozenset[Policy]:
        """What a target may be asked for."""
        return frozenset({*target.precisions, *(target.emulated if self.allow_emulated else ()), "fp32"})

    def emulates(self, target: Target) -> bool:
        """Whether the target would emulate any of what it is asked for; of a plan, whatever it says."""
        wanted = {*target.emulated} if self.plan is not None else {*self.asked(target)}
        return not wanted.isdisjoint({*target.emulated} - {*target.precisions})

    def on(self, target: Target) -> Self:
        """The recipe with what a target computes and stores in place of what it emulates.

        Raises:
            RecipeError: see `policy_for`.
        """
        self.policy_for(target)
        stands = {str(name): str(precision) for name, precision in target.emulated.items() if self.allow_emulated}
        overrides = [
            parse_override(each.pattern, stands.get(each.precision, each.precision)) for each in self.overrides
        ]
        policy = self.policy and stands.get(self.policy, self.policy)
        return self.model_copy(update={"policy": policy, "overrides": tuple(overrides)})

    def check_implicit(self, target: Target, policy: Policy) -> None:
        if self.plan is not None:
            raise RecipeError("--plan says what is left to the runtime; leave out --implicit")
        if target.implicit is None:
            raise RecipeError(
                f"target {target.name}: its runtime does not choose integers itself; leave out --implicit"
            )
        if INTEGERS.isdisjoint({policy, *(override.precision for override in self.overrides)}):
            raise RecipeError(f"--implicit: with {policy} nothing may be int8; add --precision int8")

    def with_options(
        self,
        precision: Iterable[str] = (),
        observer: str | None = None,
        min_snr: float | None = None,
        calibration: Path | None = None,
        plan: Path | None = None,
        implicit: bool = False,
        allow_emulated: bool = False,
    ) -> Self:
        """The recipe with what the command line says on top. `precision` has policies and `PATTERN=PRECISION`.

        Raises:
            RecipeError: an option makes no sense.
        """
        policy: str | None = self.policy
        overrides = list(self.overrides)
        for text in precision:
            pattern, equals, name = text.rpartition("=")
            if equals:
                overrides.append(parse_override(pattern, name))
            elif text in get_args(Policy):
                policy = text
            else:
                raise RecipeError(f"no precision {text!r}; there are {', '.join(get_args(Policy))}")
        given = {
            "observer": observer, "min_snr": min_snr, "calibration": calibration, "plan": plan,
            "implicit": implicit or None, "allow_emulated": allow_emulated or None,
        }  # fmt: skip
        changes = {name: value for name, value in given.items() if value is not None}
        fields = self.model_dump() | {"policy": policy, "overrides": tuple(overrides)} | changes
        try:
            return self.model_validate(fields)
        except ValidationError as error:
            raise RecipeError(f"--{first_complaint(error).replace('_', '-')}") from error


def parse_override(pattern: str, precision: str) -> Override:
    try:
        return Override.model_validate({"pattern": pattern, "precision": precision})
    except ValidationError as error:
        raise RecipeError(f"{pattern}={precision}: no precision {precision!r}; modules take "
                          f"{', '.join(get_args(Precision))}") from error  # fmt: skip


def refusal(target: Target, wanted: str) -> str:
    """Why a target does not take a precision, and what it takes."""
    why = [reason for name, reason in target.absent.items() if name == wanted]
    why += ["--allow-emulated saves those bytes" for name in target.emulated if name == wanted]
    told = f" ({'; '.join(why)})" if why else ""
    return f"target {target.name} has no precision {wanted!r}{told}; it has {', '.join(target.precisions)}"


def nothing_emulated(target: Target, asked: Iterable[str]) -> str:
    told = f"it emulates {', '.join(target.emulated)}" if target.emulated else "leave out --allow-emulated"
    return f"--allow-emulated: target {target.name} computes in {', '.join(dict.fromkeys(asked))} itself; {told}"


def read_recipe(path: Path) -> PrecisionRecipe:
    """A recipe in YAML, with the fields of PrecisionRecipe; `overrides` as a mapping from pattern to precision.

    Raises:
        RecipeError: the file is unreadable, or has an unknown or wrong field.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: not readable as YAML ({error})") from error
    if not isinstance(document, dict) or not isinstance(document.get("overrides", {}), dict):
        raise RecipeError(f"{path}: must be a mapping, and so must its overrides")
    overrides = [parse_override(str(pattern), str(name)) for pattern, name in document.get("overrides", {}).items()]
    try:
        return PrecisionRecipe.model_validate(document | {"overrides": overrides})
    except ValidationError as error:
        raise RecipeError(f"{path}: {first_complaint(error)}") from error
