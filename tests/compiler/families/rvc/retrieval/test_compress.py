from __future__ import annotations

import numpy as np
import pytest

from tests.compiler.families.rvc.retrieval.indexes import WIDTH, clustered, flat, rvc_found
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.families.rvc.retrieval import compress as module
from voxc.compiler.families.rvc.retrieval.component import representative_queries, retrieval_component
from voxc.compiler.families.rvc.retrieval.compress import compress, compression_figures, stored_bytes

BUDGET = 40_000


def figures(vectors: np.ndarray, budget: int) -> dict[str, float]:
    return {name: each.value for name, each in compression_figures(vectors, compress(vectors, budget)).items()}


def test_what_the_component_stores_is_what_is_counted() -> None:
    buffers = retrieval_component(clustered(), WIDTH).module.buffers()
    assert sum(buffer.nbytes for buffer in buffers) == stored_bytes(600, WIDTH)


def test_within_the_budget_nothing_changes() -> None:
    vectors = clustered()
    budget = stored_bytes(len(vectors), WIDTH)
    assert compress(vectors, budget).vectors is vectors
    assert len(compress(vectors, budget - 1).vectors) < len(vectors)
    found = figures(vectors, budget)
    assert (found["recall_at_8"], found["feature_error"]) == (1, 0)
    assert found["vectors_before"] == found["vectors_after"] == 600
    assert found["bytes_before"] == found["bytes_after"] == budget


@pytest.mark.parametrize("budget", [BUDGET, 2 * BUDGET, stored_bytes(module.NEIGHBOURS, WIDTH)])
def test_the_budget_is_met_and_used(budget: int) -> None:
    small = compress(clustered(5000), budget).vectors
    assert 0.9 * budget < stored_bytes(len(small), WIDTH) <= budget
    assert np.isfinite(small).all()


def test_each_mean_is_that_of_the_vectors_it_stands_for() -> None:
    vectors = clustered(5000)
    small = compress(vectors, BUDGET)
    assert np.array_equal(np.unique(small.stand_in), np.arange(len(small.vectors)))
    for number in (0, 100, len(small.vectors) - 1):
        mean = vectors[small.stand_in == number].mean(0)
        np.testing.assert_allclose(small.vectors[number], mean, atol=1e-5)


def test_the_same_index_gives_the_same_vectors() -> None:
    assert np.array_equal(compress(clustered(5000), BUDGET).vectors, compress(clustered(5000), BUDGET).vectors)


def test_copies_of_few_vectors_are_compressed_without_loss() -> None:
    vectors = np.tile(clustered(30), (200, 1))
    found = figures(vectors, BUDGET)
    assert found["vectors_after"] < len(vectors)
    small = compress(vectors, BUDGET).vectors
    assert np.abs(small[:, None] - clustered(30)).max(2).min(1).max() < 1e-4


def test_a_budget_without_room_for_the_neighbours_is_refused() -> None:
    with pytest.raises(RecipeError, match="index budget of 700 bytes is too small: 8 vectors take 896"):
        compress(clustered(), 700)


def test_figures_are_those_of_a_direct_computation() -> None:
    """The same by faiss and RVC's formula: the neighbours by their numbers, what they average to, both compared."""
    vectors = clustered(5000)
    small = compress(vectors, BUDGET)
    queries = representative_queries(vectors, module.QUERIES, np.random.default_rng(module.SEED))
    before, after = flat(vectors), flat(small.vectors)
    wanted, found = (index.search(queries, 8)[1] for index in (before, after))
    shares = [np.isin(small.stand_in[exact], given).mean() for exact, given in zip(wanted, found, strict=True)]
    right, given = rvc_found(before, queries), rvc_found(after, queries)
    error = np.sqrt(np.square(given - right).sum() / np.square(right - vectors.mean(0)).sum())
    told = figures(vectors, BUDGET)
    assert told["recall_at_8"] == pytest.approx(np.mean(shares), abs=1e-3)
    assert told["feature_error"] == pytest.approx(error, rel=1e-3)
    assert 0.5 < told["recall_at_8"] < 1
    assert 0 < told["feature_error"] < 0.5


def test_means_beat_a_random_choice_of_vectors() -> None:
    vectors = clustered(5000)
    small = compress(vectors, BUDGET).vectors
    chosen = vectors[np.random.default_rng(0).permutation(len(vectors))[: len(small)]]
    queries = representative_queries(vectors, 300, np.random.default_rng(1))
    right = rvc_found(flat(vectors), queries)
    by_means, by_choice = (np.square(rvc_found(flat(kept), queries) - right).mean() for kept in (small, chosen))
    assert by_means < 0.9 * by_choice
