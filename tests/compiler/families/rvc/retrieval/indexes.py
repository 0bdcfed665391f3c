"""FAISS indexes as RVC writes them, small, and RVC's formula as its pipeline has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxc.compiler.core.tensor import Array

faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed")

WIDTH = 24
CELLS = 8


def clustered(count: int = 600, width: int = WIDTH, seed: int = 0, clusters: int = 20) -> Array:
    """Vectors [count, width] around `clusters` centres that stand far from the origin, with a decaying spectrum."""
    random = np.random.default_rng(seed)
    spread = np.arange(1, width + 1) ** -0.5
    centres = 5 + 3 * np.random.default_rng(1).standard_normal((clusters, width)) * spread
    vectors = centres[random.integers(0, clusters, count)] + random.standard_normal((count, width)) * spread
    return vectors.astype(np.float32)


def ivf(vectors: Array, cells: int = CELLS) -> Any:
    index = faiss.index_factory(vectors.shape[1], f"IVF{cells},Flat")
    index.cp.min_points_per_centroid = 1
    index.train(vectors)
    index.add(vectors)
    return index


def flat(vectors: Array) -> Any:
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors)
    return index


def write(index: Any, path: Path) -> Path:
    faiss.write_index(index, str(path))
    return path


def rvc_found(index: Any, queries: Array, neighbours: int = 8) -> Array:
    """What RVC retrieves for queries [T, F]: `infer/vc/pipeline.py`, in double precision after the search."""
    stored = index.reconstruct_n(0, index.ntotal).astype(np.float64)
    score, numbers = index.search(queries, neighbours)
    weight = np.square(1 / score.astype(np.float64))
    weight /= weight.sum(axis=1, keepdims=True)
    return np.sum(stored[numbers] * weight[:, :, np.newaxis], axis=1)


def rvc_phone(
    index: Any, features: Array, index_rate: float, protect: float, voiced: Array, neighbours: int = 8
) -> Array:
    """RVC's two blends, [2 T, F]: features [T, F] with what was found, doubled, and then protected where unvoiced."""
    blended = rvc_found(index, features, neighbours) * index_rate + (1 - index_rate) * features
    blended, original = np.repeat(blended, 2, axis=0), np.repeat(features, 2, axis=0)
    kept = np.where(voiced, 1, protect)[:, np.newaxis]
    return blended * kept + original * (1 - kept)
