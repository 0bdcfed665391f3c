"""Reads a FAISS index of content features, from anyone: nothing in the file is believed, and no other file is opened.

RVC writes `added_IVF<cells>_Flat_nprobe_<probes>_*.index`: an inverted file of plain float32 vectors under squared
Euclidean distance, with a flat quantizer. That, a flat index, and either with numbers of its own are what is read;
every other kind changes the vectors or the distance, and RVC's formula would mean something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.file_kind import HEAD_BYTES, foreign_kind
from voxc.compiler.core.tensor import Array
from voxc.compiler.families.rvc.retrieval.faiss_file import FLAT, IVF_FLAT, NUMBERED, Header, IndexFile

MAX_FILE_BYTES = 8 << 30
VERSIONS = {256: "v1", 768: "v2"}

OTHER_KINDS = {
    b"IxFI": "a flat index under inner product",
    b"IxFl": "a flat index under a metric of its own",
    b"IxPT": "an index behind a transformation (PCA, OPQ, L2 normalisation)",
    b"IwPQ": "a product-quantized index (IVF-PQ)",
    b"IwQR": "a product-quantized index (IVF-PQR)",
    b"IwSq": "a scalar-quantized index (IVF-SQ)",
    b"IwFd": "an index without duplicates (IVF-FlatDedup)",
    b"IxPq": "a product-quantized index (PQ)",
    b"IxSQ": "a scalar-quantized index (SQ)",
    b"IxRF": "an index that refines another's results (RFlat)",
    b"IxRq": "a residual-quantized index",
    b"IHNf": "a graph index (HNSW)",
    b"IHNp": "a graph index (HNSW)",
    b"IHNs": "a graph index (HNSW)",
    b"IHN2": "a graph index (HNSW)",
    b"INSf": "a graph index (NSG)",
    b"IBxF": "a binary index",
    b"IBwF": "a binary index (IVF)",
}
L2 = 1
METRICS = {0: "inner product", 2: "L1 distance", 3: "the largest difference", 4: "Lp distance"}
SERVES = "voxc reads flat vectors under Euclidean distance: RVC's added_IVF*_Flat_*.index; train the index again in RVC"
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
    """
    try:
        check_file(path)
        with IndexFile(path) as file:
            index = read_index(file, features)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    if not len(index.vectors):
        raise CheckpointError(f"{path}: {EMPTY}")
    if not np.isfinite(index.vectors).all():
        raise CheckpointError(f"{path}: NaN or infinite values among its vectors; train the index again")
    return index


def check_file(path: Path) -> None:
    """Refuses what is no index at all."""
    if not path.is_file():
        raise CheckpointError(f"{path}: {'is not a file' if path.exists() else 'no such file'}; give RVC's .index file")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise CheckpointError(f"{path}: {size} bytes; an index has at most {MAX_FILE_BYTES}")
    with path.open("rb") as stream:
        foreign = foreign_kind(stream.read(HEAD_BYTES))
    if foreign:
        raise CheckpointError(f"{path}: {foreign}")


def read_index(file: IndexFile, features: int) -> Index:
    """A flat index, an inverted file, or either with numbers of its own."""
    header = file.header()
    if header.kind in NUMBERED:
        check_header(file.path, header, features)
        header = file.header()
    check_kind(file.path, header.kind)
    check_header(file.path, header, features)
    if header.kind == FLAT:
        return Index(file.flat(features), 1, 1)
    cells, probes = file.word(), file.word()
    quantizer = file.header()
    if quantizer.kind != FLAT:
        named = OTHER_KINDS.get(quantizer.kind, "an index of an unknown kind")
        raise CheckpointError(f"{file.path}: its cells are told apart by {named}; {SERVES}")
    if quantizer.width != features:
        raise file.damaged("its cells have another width than its vectors")
    file.flat(features)
    file.skip_direct_map()
    return Index(file.lists(cells, features), cells, probes)


def check_kind(path: Path, kind: bytes) -> None:
    if kind in OTHER_KINDS:
        raise CheckpointError(f"{path}: {OTHER_KINDS[kind]}; {SERVES}")
    if kind not in (FLAT, IVF_FLAT):
        raise CheckpointError(f"{path}: not a FAISS index, or one of an unknown kind; {SERVES}")


def check_header(path: Path, header: Header, features: int) -> None:
    """Refuses an index that this voice cannot use."""
    if header.metric != L2:
        metric = METRICS.get(header.metric, f"an unknown metric ({header.metric})")
        raise CheckpointError(f"{path}: measures by {metric}; {SERVES}")
    if not header.trained or header.count <= 0:
        raise CheckpointError(f"{path}: {EMPTY}")
    if header.width != features:
        raise CheckpointError(
            f"{path}: its vectors are {described(header.width)} wide, the voice's content features "
            f"{described(features)}; an index serves the voice with which it was trained"
        )


def described(width: int) -> str:
    return f"{width} ({VERSIONS[width]})" if width in VERSIONS else str(width)
