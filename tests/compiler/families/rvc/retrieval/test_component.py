from __future__ import annotations

import numpy as np
import pytest

from tests.compiler.families.rvc.retrieval.indexes import WIDTH, clustered
from voxc.compiler.families.rvc.retrieval.component import representative_queries, retrieval_component


def test_shapes_and_rates() -> None:
    component = retrieval_component(clustered(), WIDTH)
    assert [(spec.name, spec.shape) for spec in component.inputs + component.outputs] == [
        ("features", (1, "T", WIDTH)), ("blend", (1, "2*T")), ("phone", (1, "2*T", WIDTH)),
    ]  # fmt: skip
    assert component.frame_rate == 50
    assert component.noise == ()


@pytest.mark.parametrize("frames", [1, 30])
def test_reference_inputs_fit_and_repeat(frames: int) -> None:
    component = retrieval_component(clustered(), WIDTH)
    first, second = component.reference_inputs({"T": frames}), component.reference_inputs({"T": frames})
    for spec in component.inputs:
        assert spec.bind({"T": frames}).accept(first[spec.name]).shape == spec.bound_shape({"T": frames})
        assert np.array_equal(first[spec.name], second[spec.name])
    assert first["blend"].min() >= 0
    assert first["blend"].max() <= 1


def test_queries_are_near_the_vectors_and_none_of_them() -> None:
    vectors = clustered(2000)
    queries = representative_queries(vectors, 300, np.random.default_rng(0))
    distances = np.square(queries[:, None] - vectors).sum(2).min(1)
    spread = np.square(vectors - vectors.mean(0)).sum(1).mean()
    assert distances.min() > 0
    assert distances.mean() < 0.5 * spread
