"""Fits a large index into a budget: vectors close to one another give way to their mean.

RVC does the same where it trains an index: of more than 200,000 vectors it keeps 10,000 k-means centres. Here k-means
runs inside cells of some hundred vectors, which takes seconds, and what is left is again an index of plain vectors,
searched as any other. `docs/measurements/retrieval.md` compares it with fewer dimensions instead of fewer vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.figure import Figure, figure
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.rvc.retrieval.component import representative_queries
from voxc.compiler.families.rvc.retrieval.network import NEIGHBOURS, Retrieval

BUDGET_BYTES = 32 << 20
CELL = 4096  # vectors
ROUNDS = 6
BATCH = 4096
SEED = 0

QUERIES = 512
QUERY_BATCH = 64


@dataclass(frozen=True)
class Compression:
    """`vectors` float32 [m, F] that stand for the n of an index; `stand_in` int64 [n] says which for each."""

    vectors: Array
    stand_in: Array


def stored_bytes(count: int, features: int) -> int:
    """What the component stores for that many vectors: each with its offset, and the centre of all."""
    return np.dtype(np.float32).itemsize * (count * (features + 1) + features)


def compress(vectors: Array, budget: int = BUDGET_BYTES) -> Compression:
    """`vectors` float32 [n, F] themselves if the component over them fits `budget` bytes, else as many means as fit.

    Raises:
        RecipeError: the budget has no room for `NEIGHBOURS` vectors.
    """
    count, features = vectors.shape
    if stored_bytes(count, features) <= budget:
        return Compression(vectors, np.arange(count))
    most = (budget - stored_bytes(0, features)) // (stored_bytes(1, features) - stored_bytes(0, features))
    if most < NEIGHBOURS:
        least = stored_bytes(NEIGHBOURS, features)
        raise RecipeError(f"an index budget of {budget} bytes is too small: {NEIGHBOURS} vectors take {least}")
    points = torch.from_numpy(vectors)
    stand_in = torch.empty(count, dtype=torch.int64)
    means: list[Tensor] = []
    seen = total = 0
    for members in bisect(points, torch.arange(count)):
        share = (seen + len(members)) * most // count - seen * most // count
        seen += len(members)
        inside = points[members]
        seeds = inside[torch.linspace(0, len(inside) - 1, share).long()]
        used, labels = torch.unique(k_means(inside, seeds), return_inverse=True)
        means.append(means_of(inside, labels, len(used)))
        stand_in[members] = labels + total
        total += len(used)
    return Compression(torch.cat(means).numpy(), stand_in.numpy())


def bisect(points: Tensor, members: Tensor) -> list[Tensor]:
    """`members` in groups of at most `CELL`, halved at the median of their main direction as often as it takes.

    Halves are equal whatever the data are (a third of a recording may be silence), so the time is bounded.
    """
    if len(members) <= CELL:
        return [members]
    direction = main_direction(points[members[:: -(-len(members) // CELL)]])
    along = torch.cat([points[batch] @ direction for batch in torch.split(members, BATCH)])
    ordered = members[along.argsort(stable=True)]
    half = len(members) // 2
    return [*bisect(points, ordered[:half]), *bisect(points, ordered[half:])]


def main_direction(sample: Tensor) -> Tensor:
    """The direction [F] in which a sample [n, F] extends furthest, roughly: power iteration."""
    centred = sample - sample.mean(0)
    direction = centred[torch.linalg.vector_norm(centred, dim=1).argmax()]
    for _ in range(ROUNDS):
        direction = torch.nn.functional.normalize(centred.T @ (centred @ direction), dim=0)
    return direction


def k_means(points: Tensor, centres: Tensor) -> Tensor:
    """Which centre each of `points` [n, F] ends at after Lloyd's iteration; one without points stays where it is."""
    for _ in range(ROUNDS):
        labels = closest(points, centres)
        inhabited = torch.bincount(labels, minlength=len(centres))[:, None] > 0
        centres = torch.where(inhabited, means_of(points, labels, len(centres)), centres)
    return closest(points, centres)


def closest(points: Tensor, centres: Tensor) -> Tensor:
    """Which of `centres` [m, F] each of `points` [n, F] is closest to."""
    return torch.addmm(-0.5 * torch.linalg.vecdot(centres, centres), points, centres.T).argmax(1)


def means_of(points: Tensor, labels: Tensor, count: int) -> Tensor:
    """Means [count, F] of the points of each label; 0 for a label without points."""
    belongs = (labels == torch.arange(count)[:, None]).float()
    return belongs @ points / belongs.sum(1, keepdim=True).clamp(min=1)


def compression_figures(vectors: Array, compression: Compression) -> dict[str, Figure]:
    """What became of an index, and what that does to retrieval, for the manifest.

    `recall_at_8` is the share of the 8 exact neighbours whose stand-in is among the 8 found. `feature_error` is the
    root mean square of the difference between what is found in both, relative to the deviation of the exact one from
    the mean of the index. Both over `QUERIES` noisy stored vectors.
    """
    before, after = len(vectors), len(compression.vectors)
    features = vectors.shape[1]
    counted = "vectors of the index"
    sizes = {
        "vectors_before": figure(before, "1", counted),
        "vectors_after": figure(after, "1", f"{counted} that the component searches"),
        "bytes_before": figure(stored_bytes(before, features), "B", "float32 vectors and offsets"),
        "bytes_after": figure(stored_bytes(after, features), "B", "float32 vectors and offsets, as stored"),
    }
    if after == before:
        recall, error, how = 1.0, 0.0, "exact: the index fits the budget as it is"
    else:
        recall, error = compare(vectors, compression)
        how = f"{after} means against exhaustive search in {before} vectors, {QUERIES} noisy stored vectors"
    return {
        **sizes,
        "recall_at_8": figure(recall, "1", f"{how}; exact neighbours whose stand-in is found"),
        "feature_error": figure(error, "1", f"{how}; RMS relative to the deviation from the mean"),
    }


def compare(vectors: Array, compression: Compression) -> tuple[float, float]:
    """Recall and relative error over `QUERIES` queries."""
    exact, approximate = Retrieval(vectors), Retrieval(compression.vectors)
    queries = torch.from_numpy(representative_queries(vectors, QUERIES, np.random.default_rng(SEED)))
    hits = error = deviation = 0.0
    for batch in torch.split(queries, QUERY_BATCH):
        wanted, _ = exact.nearest(batch)
        found, _ = approximate.nearest(batch)
        stand_ins = torch.from_numpy(compression.stand_in)[wanted]
        hits += (stand_ins[:, :, None] == found[:, None]).any(2).double().mean(1).sum().item()
        right, given = batch + exact.steps(batch), batch + approximate.steps(batch)
        error += (given - right).double().square().sum().item()
        deviation += (right - exact.centre).double().square().sum().item()
    return hits / QUERIES, (error / deviation) ** 0.5
