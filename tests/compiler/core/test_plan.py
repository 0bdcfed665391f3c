from __future__ import annotations

from voxc.compiler.core.plan import PrecisionPlan


def test_histogram_counts_what_each_node_computes_in() -> None:
    plan = PrecisionPlan(nodes={"a": "fp32"})
    assert plan.precision("a") == plan.precision("b") == "fp32"
    assert plan.histogram(["a", "b", "c"]) == {"fp32": 3}


def test_a_plan_survives_its_file() -> None:
    plan = PrecisionPlan(nodes={"a": "fp32"})
    assert PrecisionPlan.model_validate_json(plan.model_dump_json()) == plan
