"""Retrieval as a network: content features drawn towards what the target speaker said.

The formula is RVC's. For each query the `NEIGHBOURS` nearest vectors by squared Euclidean distance d are averaged with
weights (1/d)^2, normalised; `blend` says how far the features move towards that average. RVC asks faiss with
`nprobe=1`: it compares a query with the vectors of a single cell of the inverted file. That approximates the search
over everything, which is what happens here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voxc.compiler.core.tensor import Array

NEIGHBOURS = 8
CANDIDATES = 2 * NEIGHBOURS
# Less than any distance between float32 features that differ; its square, relative to one, is zero.
LEAST_DISTANCE = 1e-30


class Retrieval(nn.Module):
    """Searches `vectors`, float32 [n, F] with n at least 1; with fewer than `NEIGHBOURS`, all of them are neighbours.

    One matrix product ranks all vectors, by v.q - |v|^2 / 2, which is where |q - v|^2 is least. It says nothing good
    about small distances, though, where the difference of large numbers is all rounding and 1/d^2 is largest. So it
    only nominates twice the neighbours wanted; their distances are taken from the differences themselves. It ranks by
    offsets and queries about the mean of the vectors, which changes no order and keeps the numbers small.
    """

    centre: Tensor
    vectors: Tensor
    offsets: Tensor

    def __init__(self, vectors: Array) -> None:
        super().__init__()
        centre = torch.from_numpy(vectors.mean(0, dtype="float64").astype("float32"))
        self.register_buffer("centre", centre)
        self.register_buffer("vectors", torch.from_numpy(vectors))
        centred = self.vectors - centre
        self.register_buffer("offsets", -0.5 * torch.linalg.vecdot(centred, centred)[:, None])

    def forward(self, features: Tensor, blend: Tensor) -> Tensor:
        """Features [1, T, F] of 50 frames a second and blend [1, 2 T] to phone [1, 2 T, F], float32 all.

        Each frame of features becomes two; `blend` is 0 for the features as they are and 1 for what was found.
        """
        _, frames, width = features.shape
        step = self.steps(features[0])
        blended = features[0, :, None] + blend.reshape(frames, 2, 1) * step[:, None]
        return blended.reshape(1, 2 * frames, width)

    def steps(self, queries: Tensor) -> Tensor:
        """What lies between queries [T, F] and the weighted means of their neighbours."""
        numbers, distances = self.nearest(queries)
        return (weights(distances)[:, :, None] * self.differences(numbers, queries)).sum(1)

    def nearest(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers [T, k] of the neighbours of queries [T, F], and their squared distances in rising order."""
        count = self.vectors.shape[0]
        closeness = torch.addmm(self.offsets, self.vectors, (queries - self.centre).T).T
        candidates = closeness.topk(min(CANDIDATES, count)).indices
        distances = self.differences(candidates, queries).square().sum(-1)
        nearest, places = distances.topk(min(NEIGHBOURS, count), largest=False)
        return candidates.gather(1, places), nearest

    def differences(self, numbers: Tensor, queries: Tensor) -> Tensor:
        """The vectors of these numbers [T, k] less their query: [T, k, F]."""
        return nn.functional.embedding(numbers, self.vectors) - queries[:, None]


def weights(distances: Tensor) -> Tensor:
    """Normalised (1/d)^2 of distances [T, k] in rising order.

    Taken relative to the nearest, so that nothing overflows; a vector at distance zero gets all the weight, which is
    the limit (RVC itself gets NaN).
    """
    safe = distances.clamp(min=LEAST_DISTANCE)
    relative = (safe[:, :1] / safe).square()
    return relative / relative.sum(1, keepdim=True)
