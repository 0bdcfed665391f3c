"""Precision plans as a file: what a bundle computes in, to be looked at and to be used again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.plan import Policy, PrecisionPlan

if TYPE_CHECKING:  # comparing bundles needs no PyTorch
    from voxc.compiler.core.program import Program

PLAN_NAME = "plan.json"
MAX_PLAN_BYTES = 1 << 24


class Plans(BaseModel):
    """The plans of all components of a voice for the graphs that a target's passes leave."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    target: str
    policy: Policy
    components: Mapping[str, PrecisionPlan]

    def plan_for(self, program: Program, path: Path) -> PrecisionPlan:
        """The plan of a component, which must speak of nodes that are there.

        Raises:
            RecipeError: the plan is of another voice or another version of the passes.
        """
        if program.name not in self.components:
            raise RecipeError(f"{path}: has no plan for {program.name}; it has {', '.join(self.components)}")
        plan = self.components[program.name]
        there = {node.name for node in program.graph.nodes}
        missing = next((name for name in (*plan.nodes, *plan.ranges) if name not in there), None)
        if missing is not None:
            raise RecipeError(
                f"{path}: speaks of a node {missing!r} that {program.name} has not; it was made for {self.target} from "
                f"another voice, segment or version of voxc, so find a new plan"
            )
        return plan


def write_plans(directory: Path, plans: Plans) -> Path:
    path = directory / PLAN_NAME
    path.write_text(plans.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def read_plans(path: Path) -> Plans:
    """The plans in a file, or of a bundle.

    Raises:
        RecipeError: there are none, or they are not valid.
    """
    file = path / PLAN_NAME if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_PLAN_BYTES:
            raise RecipeError(f"{file}: larger than {MAX_PLAN_BYTES >> 20} MiB")
        return Plans.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: not readable as a plan ({error})") from error
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"])
        raise RecipeError(f"{file}: not a plan: {where}: {detail['msg']}") from error
