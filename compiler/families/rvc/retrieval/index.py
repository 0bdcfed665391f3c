"""Reads a FAISS index of content features, from anyone: nothing in the file is believed or allocated unseen.

RVC writes `added_IVF<cells>_Flat_nprobe_<probes>_*.index`: an inverted file of plain float32 vectors under squared
Euclidean distance, with a flat quantizer. That and a flat index are what is read; every other kind changes the vectors
or the distance, and RVC's formula would mean something else.

faiss itself reads the file, told to give up on any length that the file cannot hold (faiss 1.14 and later can be told).
It never sees other kinds of index, whose readers allocate by other rules. Afterwards the vectors are taken out of its
storage by their true counts, never by the number that the header claims.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxc.compiler.core.errors import CheckpointError, MissingRuntimeError
from voxc.compiler.core.tensor import Array

MAX_FILE_BYTES = 8 << 30
VERSIONS = {256: "v1", 768: "v2"}

FLAT, IVF_FLAT = b"IxF2", b"IwFl"
OTHER_KINDS = {
    b"IxFI": "a flat index under inner product",
    b"IxPT": "an index behind a transformation (PCA, OPQ)",
    b"IxMp": "an index with numbers of its own (IDMap)",
    b"IxM2": "an index with numbers of its own (IDMap2)",
    b"IwPQ": "a product-quantized index (IVF-PQ)",
    b"IwSq": "a scalar-quantized index (IVF-SQ)",
    b"IxPq": "a product-quantized index (PQ)",
    b"IxSQ": "a scalar-quantized index (SQ)",
    b"IHNf": "a graph index (HNSW)",
    b"IBxF": "a binary index",
    b"IBwF": "a binary index (IVF)",
}
# What every FAISS index opens with: its kind, width, number of vectors, two unused words, trained, metric.
HEADER = struct.Struct("<4siqqq?i")
# Of an inverted file there follow the numbers of cells and probes, and then the quantizer, an index of its own.
QUANTIZER = slice(HEADER.size + 16, HEADER.size + 20)
L2 = 1
EMPTY = "holds no vectors; take added_IVF*_Flat_*.index, not trained_IVF*_Flat_*.index"


@dataclass(frozen=True)
class Index:
    """The `vectors` of an index, float32 [n, features], in the order of their numbers.

    `cells` is how many cells its inverted file has (1 for a flat index) and `probes` in how many of them a search
    looks; both are for people, for our search looks everywhere.
    """

    vectors: Array
    cells: int
    probes: int


def load_index(path: Path, features: int) -> Index:
    """The index in `path`, for a voice whose content features are `features` wide.

    Raises:
        CheckpointError: the file is damaged, of another kind, empty, of another width, or holds NaN or infinite values.
        MissingRuntimeError: faiss-cpu is not installed.
    """
    size = check_header(path, features)
    faiss = import_faiss()
    with limits(faiss, size):
        try:
            stored = faiss.read_index(str(path))
        except (RuntimeError, MemoryError) as error:  # faiss raises nothing else while it reads
            raise CheckpointError(f"{path}: damaged: faiss cannot read it ({reason(error)})") from error
    if isinstance(stored, faiss.IndexIVFFlat):
        vectors, cells, probes = ivf_vectors(faiss, stored, features), stored.nlist, stored.nprobe
    else:
        vectors, cells, probes = flat_vectors(faiss, stored, features), 1, 1
    if not len(vectors):
        raise CheckpointError(f"{path}: {EMPTY}")
    if not np.isfinite(vectors).all():
        raise CheckpointError(f"{path}: NaN or infinite values among its vectors; train the index again")
    return Index(vectors, cells, probes)


def check_header(path: Path, features: int) -> int:
    """Refuses what faiss should not see, and what it would read and this voice cannot use; gives the file's size."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(QUANTIZER.stop)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    if size > MAX_FILE_BYTES:
        raise CheckpointError(f"{path}: {size} bytes; an index has at most {MAX_FILE_BYTES}")
    kind = head[:4]
    wanted = "RVC's are added_IVF*_Flat_*.index"
    if kind in OTHER_KINDS:
        raise CheckpointError(
            f"{path}: {OTHER_KINDS[kind]}; voxc reads flat vectors under Euclidean distance ({wanted})"
        )
    if kind not in (FLAT, IVF_FLAT) or len(head) < HEADER.size:
        raise CheckpointError(f"{path}: not a FAISS index, or one of an unknown kind ({wanted})")
    if kind == IVF_FLAT and head[QUANTIZER] != FLAT:
        raise CheckpointError(
            f"{path}: its cells are not told apart by a flat index under Euclidean distance ({wanted})"
        )
    _, width, count, _, _, trained, metric = HEADER.unpack(head[: HEADER.size])
    if metric != L2:
        raise CheckpointError(
            f"{path}: measures by metric {metric}; voxc reads Euclidean distance, metric {L2} ({wanted})"
        )
    if not trained or count <= 0:
        raise CheckpointError(f"{path}: {EMPTY}")
    if width != features:
        raise CheckpointError(
            f"{path}: its vectors are {described(width)} wide, the voice's content features {described(features)}; "
            "an index serves the voice with which it was trained"
        )
    return size


def described(width: int) -> str:
    return f"{width} ({VERSIONS[width]})" if width in VERSIONS else str(width)


def import_faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingRuntimeError("reading a .index file needs faiss-cpu: pip install 'faiss-cpu>=1.14.2'") from error
    if not hasattr(faiss, "set_deserialization_loop_limit"):
        raise MissingRuntimeError(
            f"faiss {faiss.__version__} cannot read untrusted files: pip install 'faiss-cpu>=1.14.2'"
        )
    return faiss


@contextmanager
def limits(faiss: Any, size: int) -> Iterator[None]:
    """While this is open, faiss refuses lists longer, and more cells, than a file of `size` bytes can hold."""
    before = faiss.get_deserialization_vector_byte_limit(), faiss.get_deserialization_loop_limit()
    faiss.set_deserialization_vector_byte_limit(size)
    faiss.set_deserialization_loop_limit(size // np.dtype(np.float32).itemsize)
    try:
        yield
    finally:
        faiss.set_deserialization_vector_byte_limit(before[0])
        faiss.set_deserialization_loop_limit(before[1])


def flat_vectors(faiss: Any, stored: Any, features: int) -> Array:
    return faiss.vector_to_array(stored.codes).view(np.float32).reshape(-1, features)


def ivf_vectors(faiss: Any, stored: Any, features: int) -> Array:
    """The vectors of all cells in the order of their numbers, which may be anything, for nothing depends on them.

    They may be fewer than were added: faiss counts a vector with NaN in it and puts it into no cell.
    """
    lists = stored.invlists
    sizes = [lists.list_size(cell) for cell in range(stored.nlist)]
    full = [cell for cell, size in enumerate(sizes) if size]
    if not full:
        return np.empty((0, features), np.float32)
    numbers = np.concatenate([faiss.rev_swig_ptr(lists.get_ids(cell), sizes[cell]) for cell in full])
    place = np.empty_like(numbers)
    place[np.argsort(numbers, kind="stable")] = np.arange(len(numbers))
    vectors = np.empty((len(numbers), features), np.float32)
    start = 0
    for cell in full:
        codes = faiss.rev_swig_ptr(lists.get_codes(cell), sizes[cell] * stored.code_size)
        vectors[place[start : start + sizes[cell]]] = codes.view(np.float32).reshape(-1, features)
        start += sizes[cell]
    return vectors


def reason(error: Exception) -> str:
    """faiss's message without the place in its sources."""
    return (str(error).partition("\n")[0].rpartition("Error: ")[2] or type(error).__name__)[:200]
