"""Times retrieval: the ONNX Runtime artifact, and faiss with RVC's formula in NumPy, in turn in one run.

The index is synthetic: a voice walks through phones whose features have a covariance that decays as
1 / dimension^decay, and another walks through the same phones to make the queries. With `--compress`, that many vectors
are compressed to the default budget first, and the figures are printed.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PHONES, PHONE_FRAMES = 300, 5
NEIGHBOURS = 8
WARM_UP, RUNS = 3, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, default=10_900)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--frames", type=int, default=100, help="content frames, 50 a second")
    parser.add_argument("--decay", type=float, default=1.2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compress", action="store_true")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)

    import numpy as np

    vectors = speech(options.vectors, options.features, options.decay, voice=1)
    queries = speech(max(500, options.frames), options.features, options.decay, voice=2)
    if options.compress:
        vectors = compressed(vectors)
    time_search(vectors, np.ascontiguousarray(queries[: options.frames]), options.threads)


def speech(count, features, decay, voice):
    """Features [count, features] of one voice: its phones, a slow wandering about them, its own offset, and noise."""
    import numpy as np

    world, random = np.random.default_rng(0), np.random.default_rng(voice)
    spread = np.arange(1, features + 1, dtype=np.float32) ** (-decay / 2)
    spread /= np.linalg.norm(spread)
    centres = world.standard_normal((PHONES, features), np.float32) * spread
    turn = np.linalg.qr(world.standard_normal((features, features)))[0].astype(np.float32)
    phones = np.repeat(random.integers(0, PHONES, count // PHONE_FRAMES + 1), PHONE_FRAMES)[:count]
    result = centres[phones]
    result = (np.roll(result, 1, 0) + 2 * result + np.roll(result, -1, 0)) / 4
    wandering = np.zeros(features, np.float32)
    for frame in range(count):
        wandering = 0.8 * wandering + 0.6 * spread * random.standard_normal(features, np.float32)
        result[frame] += 0.6 * wandering
    result += 0.3 * spread * random.standard_normal(features, np.float32)
    for block in np.array_split(result, max(1, count // 4096)):
        block += 0.15 / np.sqrt(features) * random.standard_normal(block.shape, np.float32)
        block[:] = 10 * block @ turn
    return result


def compressed(vectors):
    from voxc.compiler.families.rvc.retrieval.compress import compress, compression_figures

    began, processor = time.perf_counter(), time.process_time()
    small = compress(vectors)
    print(f"compressed in {time.perf_counter() - began:.1f} s ({time.process_time() - processor:.1f} s of processor)")
    for name, figure in compression_figures(vectors, small).items():
        print(f"{name:<16}{figure.value:>14,.4g} {figure.unit}")
    print(f"peak memory     {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:14,.0f} MiB, of which the index "
          f"{vectors.nbytes / 2**20:,.0f}")  # fmt: skip
    return small.vectors


def time_search(vectors, queries, threads):
    """Milliseconds for one segment of queries [T, F]."""
    import faiss
    import numpy as np

    faiss.omp_set_num_threads(threads)
    cells = max(1, min(int(16 * np.sqrt(len(vectors))), len(vectors) // 39))  # as RVC's train_index.py chooses them
    index = faiss.index_factory(vectors.shape[1], f"IVF{cells},Flat")
    index.train(vectors)
    index.add(vectors)
    flat = faiss.IndexFlatL2(vectors.shape[1])
    flat.add(vectors)
    stored = index.reconstruct_n(0, index.ntotal)
    blend = np.full((1, 2 * len(queries)), 0.75, np.float32)

    def rvc(searched) -> np.ndarray:
        score, numbers = searched.search(queries, NEIGHBOURS)
        weight = np.square(1 / score)
        weight /= weight.sum(axis=1, keepdims=True)
        found = np.sum(stored[numbers] * weight[:, :, np.newaxis], axis=1)
        return np.repeat(0.75 * found + 0.25 * queries, 2, axis=0)

    run = artifact(vectors, len(queries), threads)
    contestants: dict[str, Callable[[], np.ndarray]] = {
        "faiss, one cell (RVC's nprobe=1)": lambda: rvc(index),
        "faiss, everything": lambda: rvc(flat),
        "voxc onnxruntime-cpu": lambda: run({"features": queries[np.newaxis], "blend": blend})["phone"][0],
    }
    exact = contestants["faiss, everything"]()
    deviation = np.linalg.norm(exact - stored.mean(0))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(WARM_UP + RUNS):
        for name, contestant in contestants.items():
            began = time.perf_counter()
            contestant()
            times[name].append(time.perf_counter() - began)
    print(f"{len(vectors):,} x {vectors.shape[1]} vectors, {cells} cells, {len(queries)} frames, {threads} threads")
    print(f"{'':<34}{'median ms':>10}{'min ms':>10}{'to exact':>10}")
    for name, contestant in contestants.items():
        taken = np.array(times[name][WARM_UP:]) * 1e3
        error = np.linalg.norm(contestant() - exact) / deviation
        print(f"{name:<34}{np.median(taken):>10.2f}{taken.min():>10.2f}{error:>10.2g}")


def artifact(vectors, frames, threads):
    from voxc.backends.onnxruntime.backend import OnnxRuntimeBackend
    from voxc.compiler.core.program import export
    from voxc.compiler.core.target import load_targets
    from voxc.compiler.families.rvc.retrieval.component import retrieval_component
    from voxc.passes.pipeline import pipeline

    target = load_targets()["onnxruntime-cpu"]
    program = export(retrieval_component(vectors, vectors.shape[1]), {"T": frames}, dynamic=False)
    for compiler_pass in pipeline(target):
        program = compiler_pass(program, target).program
    with tempfile.TemporaryDirectory() as folder:
        files = OnnxRuntimeBackend().emit(program, target, Path(folder)).files
        print(f"artifact {sum(file.stat().st_size for file in files) / 2**20:.1f} MiB")
        return OnnxRuntimeBackend().load(files[0], threads).run


if __name__ == "__main__":
    main()
