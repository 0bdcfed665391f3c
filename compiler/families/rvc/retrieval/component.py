"""The retrieval component of a voice."""

from __future__ import annotations

import numpy as np

from voxc.compiler.core.axis import TIME, Sizes, time_axis
from voxc.compiler.core.component import Component
from voxc.compiler.core.tensor import Array, TensorSpec
from voxc.compiler.families.rvc.retrieval.network import Retrieval
from voxc.compiler.networks.hubert.component import FRAME_RATE as CONTENT_FRAME_RATE

QUERY_SPREAD = 0.7


def retrieval_component(vectors: Array, features: int) -> Component:
    """Retrieval over `vectors`, float32 [n, features], ready to be exported."""
    doubled = f"2*{TIME}"
    inputs = (
        spec("features", (1, TIME, features), "content features, 50 frames a second"),
        spec("blend", (1, doubled), "share of what was found: the index rate, times protect where unvoiced"),
    )
    phone = spec("phone", (1, doubled, features), "content features, 100 frames a second")

    def reference_inputs(sizes: Sizes, seed: int = 0) -> dict[str, Array]:
        frames, random = sizes[TIME], np.random.default_rng(seed)
        queries = representative_queries(vectors, frames, random)
        return {"features": queries[np.newaxis], "blend": random.random((1, 2 * frames), np.float32)}

    axes = (time_axis(CONTENT_FRAME_RATE),)
    return Component("retrieval", Retrieval(vectors), inputs, (), (phone,), reference_inputs, axes)


def spec(name: str, shape: tuple[int | str, ...], meaning: str) -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype="float32", unit="1", meaning=meaning)


def representative_queries(vectors: Array, count: int, random: np.random.Generator) -> Array:
    """`count` queries [count, F] such as another speaker makes: stored vectors, moved along the difference of two
    others, so that the noise has the features' own directions; `QUERY_SPREAD` is its deviation relative to theirs.
    """
    near, one, apart = random.integers(0, len(vectors), (3, count))
    other = (one + 1 + apart % max(1, len(vectors) - 1)) % len(vectors)  # not `one` again
    return vectors[near] + np.float32(QUERY_SPREAD / np.sqrt(2)) * (vectors[one] - vectors[other])
