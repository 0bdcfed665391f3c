from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.compiler.families.rvc.retrieval.indexes import WIDTH, clustered, faiss, flat, ivf, rvc_found, rvc_phone
from voxc.backends.onnxruntime.backend import OnnxRuntimeBackend
from voxc.compiler.core.program import export
from voxc.compiler.core.target import Target
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.rvc.retrieval.component import retrieval_component
from voxc.compiler.families.rvc.retrieval.network import Retrieval
from voxc.passes.pipeline import pipeline

FRAMES = 40
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def exact_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences in float32 for every number of queries; beyond 20, faiss takes |q|^2 - 2 q.v + |v|^2."""
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 1 << 30
    yield
    faiss.cvar.distance_compute_blas_threshold = before


def exhaustive_ivf(vectors: Array) -> object:
    index = ivf(vectors)
    index.nprobe = index.nlist
    return index


def found(vectors: Array, queries: Array) -> Array:
    """What the network retrieves: full blend, one of each pair of frames."""
    blend = torch.ones(1, 2 * len(queries))
    return Retrieval(vectors)(torch.from_numpy(queries)[None], blend)[0, ::2].numpy()


def voicing(frames: int) -> Array:
    return np.sin(np.arange(2 * frames) / 5) > -0.3


@pytest.mark.parametrize("make", [flat, exhaustive_ivf])
def test_equals_faiss_and_the_formula_of_rvc(make: object) -> None:
    vectors = clustered()
    queries = clustered(300, seed=2)
    assert np.abs(found(vectors, queries) - rvc_found(make(vectors), queries)).max() < TOLERANCE


@pytest.mark.parametrize("distance", [1e-1, 1e-2, 1e-3])
def test_small_distances_keep_their_digits(distance: float) -> None:
    """Crowds of near copies far from the centre, and queries among them: |q|^2 - 2 q.v + |v|^2 is rounding alone
    there, and so is a ranking by it."""
    random = np.random.default_rng(3)
    places = 100 * random.standard_normal((20, 1, WIDTH))
    vectors, queries = (
        (places + distance * random.standard_normal((20, count, WIDTH))).astype(np.float32).reshape(-1, WIDTH)
        for count in (14, 10)
    )
    expected = rvc_found(exhaustive_ivf(vectors), queries)
    assert np.abs(found(vectors, queries) - expected).max() < TOLERANCE


@pytest.mark.parametrize("protect", [0.0, 0.33, 0.5])
def test_one_blend_equals_rvcs_two(protect: float) -> None:
    vectors, features, voiced = clustered(), clustered(FRAMES, seed=2), voicing(FRAMES)
    blend = np.where(voiced, 0.75, 0.75 * protect).astype(np.float32)
    phone = Retrieval(vectors)(torch.from_numpy(features)[None], torch.from_numpy(blend)[None])
    assert phone.shape == (1, 2 * FRAMES, WIDTH)
    expected = rvc_phone(flat(vectors), features, 0.75, protect, voiced)
    assert np.abs(phone[0].numpy() - expected).max() < TOLERANCE


def test_no_blend_gives_the_features_themselves() -> None:
    features = torch.from_numpy(clustered(FRAMES, seed=2))[None]
    phone = Retrieval(clustered())(features, torch.zeros(1, 2 * FRAMES))
    assert torch.equal(phone, features.repeat_interleave(2, 1))


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 15])
def test_few_vectors_are_all_neighbours(count: int) -> None:
    """faiss pads with number -1 at an immense distance, and RVC then takes the last vector at weight zero."""
    vectors, queries = clustered(count), clustered(30, seed=2)
    expected = rvc_found(flat(vectors), queries, min(8, count))
    assert np.abs(found(vectors, queries) - expected).max() < TOLERANCE


def test_a_query_that_is_stored_finds_itself() -> None:
    vectors = clustered()
    assert np.abs(found(vectors, vectors[:50]) - vectors[:50]).max() < 1e-6


def test_copies_of_one_vector_count_as_neighbours_each() -> None:
    vectors = np.repeat(clustered(60), 3, axis=0)
    queries = clustered(100, seed=2)
    assert np.abs(found(vectors, queries) - rvc_found(flat(vectors), queries)).max() < TOLERANCE
    copies = np.repeat(clustered(1), 20, axis=0)
    assert np.abs(found(copies, copies[:3]) - copies[:3]).max() < 1e-6


@pytest.mark.parametrize("scale", [1e-12, 1e6])
def test_weights_neither_overflow_nor_vanish(scale: float) -> None:
    vectors, queries = clustered(), clustered(30, seed=2)
    error = found(vectors * np.float32(scale), queries * np.float32(scale)) / scale - found(vectors, queries)
    assert np.abs(error).max() < TOLERANCE


@pytest.mark.parametrize("count", [5, 600])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_the_artifact_equals_faiss_and_the_formula(tmp_path: Path, target: Target, dynamic: bool, count: int) -> None:
    vectors = clustered(count)
    component = retrieval_component(vectors, WIDTH)
    program = export(component, {"T": FRAMES}, dynamic)
    for compiler_pass in pipeline(target):
        program = compiler_pass(program, target).program
    backend = OnnxRuntimeBackend()
    backend.check(program, target)
    runner = backend.load(backend.emit(program, target, tmp_path).files[0], threads=1)
    for frames in (FRAMES, 2, 3 * FRAMES + 1) if dynamic else (FRAMES,):
        inputs = component.reference_inputs({"T": frames})
        (features,), (blend,) = inputs["features"], inputs["blend"]
        sought = rvc_found(flat(vectors), features, min(8, count))
        doubled = np.repeat(features, 2, axis=0)
        expected = doubled + blend[:, np.newaxis] * (np.repeat(sought, 2, axis=0) - doubled)
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        for phone in (component.run(tensors), program.run(tensors), runner.run(inputs)):
            assert np.abs(np.asarray(phone["phone"])[0] - expected).max() < TOLERANCE


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_opsets(tmp_path: Path, target: Target, opset: int) -> None:
    old = target.model_copy(update={"opset": opset})
    component = retrieval_component(clustered(), WIDTH)
    inputs = component.reference_inputs({"T": FRAMES})
    backend = OnnxRuntimeBackend()
    artifact = backend.emit(export(component, {"T": FRAMES}, dynamic=True), old, tmp_path)
    phone = backend.load(artifact.files[0], threads=1).run(inputs)["phone"]
    expected = component.run({name: torch.from_numpy(array) for name, array in inputs.items()})["phone"]
    assert np.abs(phone - expected.numpy()).max() < TOLERANCE


def test_searching_everything_is_what_a_search_of_one_cell_approximates() -> None:
    """On clustered data the two rarely part far; with every cell probed they are one."""
    vectors, queries = clustered(4000, clusters=200), clustered(300, seed=2, clusters=200)
    index = ivf(vectors, cells=64)
    everything = found(vectors, queries)
    deviation = np.square(everything - vectors.mean(0)).sum()
    errors = []
    for probes in (1, 4, 64):
        index.nprobe = probes
        errors.append(np.sqrt(np.square(rvc_found(index, queries) - everything).sum() / deviation))
    assert errors[0] > errors[1] > errors[2]
    assert errors[0] < 0.5
    assert errors[2] < 1e-5
