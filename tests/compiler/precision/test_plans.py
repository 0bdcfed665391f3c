from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor, nn

from tests.passes.harness import program_of
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.precision.plans import PLAN_NAME, Plans, read_plans, write_plans


class Double(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def test_plans_survive_their_file_and_are_found_in_a_bundle(tmp_path: Path) -> None:
    plan = PrecisionPlan(nodes={"mul": "int8"}, ranges={"mul": (-1.0, 2.0)})
    plans = Plans(target="box", policy="auto", components={"test": plan})
    path = write_plans(tmp_path, plans)
    assert read_plans(path) == read_plans(tmp_path) == plans
    assert read_plans(path).plan_for(program_of(Double(), (1, "T")), path) == plan


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a plan"),
        ("[1]", "not a plan"),
        ('{"target": "box", "policy": "int8", "components": {"test": {"nodes": {"mul": "int5"}}}}', "nodes.mul"),
        (
            '{"target": "box", "policy": "int8", "components": {"test": {"ranges": {"mul": [2, 1]}}}}',
            "2 to 1 is not a range",
        ),
    ],
)
def test_a_wrong_plan_is_an_error(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / PLAN_NAME).write_text(text)
    with pytest.raises(RecipeError, match=complaint):
        read_plans(tmp_path)


def test_a_missing_plan_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not readable as a plan"):
        read_plans(tmp_path)


@pytest.mark.parametrize(
    ("components", "complaint"),
    [
        ({"other": PrecisionPlan()}, "has no plan for test; it has other"),
        ({"test": PrecisionPlan(nodes={"conv": "int8"})}, "speaks of a node 'conv' that test has not"),
        ({"test": PrecisionPlan(ranges={"conv": (0, 1)})}, "speaks of a node 'conv' that test has not"),
    ],
)
def test_a_plan_of_something_else_is_refused(components: dict[str, PrecisionPlan], complaint: str) -> None:
    plans = Plans(target="box", policy="int8", components=components)
    with pytest.raises(RecipeError, match=complaint):
        plans.plan_for(program_of(Double(), (1, "T")), Path("plan.json"))
