from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.compiler.families.rvc.retrieval.indexes import CELLS, WIDTH, clustered, faiss, flat, ivf, write
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.rvc.retrieval.index import load_index

MIB = 1 << 20


def with_numbers(vectors: np.ndarray, numbers: np.ndarray) -> object:
    index = ivf(vectors)
    index.reset()
    index.add_with_ids(vectors, numbers)
    return index


def with_direct_map(vectors: np.ndarray) -> object:
    index = ivf(vectors)
    index.make_direct_map()
    return index


def test_an_inverted_file_as_rvc_writes_it(tmp_path: Path) -> None:
    vectors = clustered()
    index = load_index(write(ivf(vectors), tmp_path / "added_IVF8_Flat_nprobe_1_voice_v2.index"), WIDTH)
    assert np.array_equal(index.vectors, vectors)
    assert index.vectors.dtype == np.float32
    assert (index.cells, index.probes) == (CELLS, 1)


def test_a_flat_index(tmp_path: Path) -> None:
    vectors = clustered()
    index = load_index(write(flat(vectors), tmp_path / "flat.index"), WIDTH)
    assert np.array_equal(index.vectors, vectors)
    assert (index.cells, index.probes) == (1, 1)


@pytest.mark.parametrize("count", [1, 3, 20])
def test_cells_may_be_empty(tmp_path: Path, count: int) -> None:
    """faiss writes an inverted file with many empty cells in another layout."""
    index = ivf(clustered(), cells=64)
    index.reset()
    index.add(clustered(count))
    loaded = load_index(write(index, tmp_path / "sparse.index"), WIDTH)
    assert np.array_equal(loaded.vectors, clustered(count))


def test_vectors_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    vectors = clustered(100)
    numbers = np.random.default_rng(0).permutation(100) * 3 + 7
    loaded = load_index(write(with_numbers(vectors, numbers), tmp_path / "numbered.index"), WIDTH)
    assert np.array_equal(loaded.vectors, vectors[np.argsort(numbers)])


def test_a_direct_map_is_no_obstacle(tmp_path: Path) -> None:
    loaded = load_index(write(with_direct_map(clustered()), tmp_path / "mapped.index"), WIDTH)
    assert np.array_equal(loaded.vectors, clustered())


def test_faiss_counts_a_vector_of_nan_and_does_not_store_it(tmp_path: Path) -> None:
    """RVC trains on features as they come; such an index still serves."""
    index = ivf(clustered())
    index.add(np.full((1, WIDTH), np.nan, np.float32))
    assert index.ntotal == 601
    assert np.array_equal(load_index(write(index, tmp_path / "voice.index"), WIDTH).vectors, clustered())


@pytest.mark.parametrize(("width", "wanted"), [(256, 768), (768, 256)])
def test_a_wrong_width_names_both_versions(tmp_path: Path, width: int, wanted: int) -> None:
    path = write(flat(clustered(10, width)), tmp_path / "voice.index")
    names = {256: r"256 \(v1\)", 768: r"768 \(v2\)"}
    with pytest.raises(
        CheckpointError, match=f"voice.index: its vectors are {names[width]} wide.*features {names[wanted]}"
    ):
        load_index(path, wanted)


def test_a_width_of_no_version(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="are 24 wide, the voice's content features 16"):
        load_index(write(flat(clustered()), tmp_path / "voice.index"), 16)


def factory(description: str, metric: int = faiss.METRIC_L2) -> object:
    """Of few vectors: what an index of another kind finds does not matter here."""
    index = faiss.index_factory(WIDTH, description, metric)
    vectors = clustered(100)
    index.train(vectors)
    if "IDMap" in description:
        index.add_with_ids(vectors, np.arange(100))
    else:
        index.add(vectors)
    return index


def untrained() -> object:
    return faiss.index_factory(WIDTH, "IVF8,Flat")


def trained_only() -> object:
    index = ivf(clustered())
    index.reset()
    return index


def infinite() -> object:
    vectors = clustered()
    vectors[17, 3] = np.inf
    return flat(vectors)


def not_a_number() -> object:
    index = ivf(clustered())
    faiss.rev_swig_ptr(index.invlists.get_codes(0), 4).view(np.float32)[:] = np.nan
    return index


OTHERS: dict[str, tuple[Callable[[], object], str]] = {
    "product quantization": (lambda: factory("IVF4,PQ4x4"), "product-quantized"),
    "scalar quantization": (lambda: factory("IVF8,SQ8"), "scalar-quantized"),
    "flat product quantization": (lambda: factory("PQ4x4"), "product-quantized"),
    "inner product": (lambda: factory("Flat", faiss.METRIC_INNER_PRODUCT), "inner product"),
    "inner product in cells": (lambda: factory("IVF8,Flat", faiss.METRIC_INNER_PRODUCT), "measures by inner product"),
    "principal components": (lambda: factory("PCA8,IVF8,Flat"), "transformation"),
    "graph": (lambda: factory("HNSW8"), "graph"),
    "cells by a graph": (lambda: factory("IVF8_HNSW8,Flat"), "told apart by a graph"),
    "another metric": (lambda: factory("Flat", faiss.METRIC_L1), "a flat index under a metric of its own"),
    "another metric in cells": (lambda: factory("IVF8,Flat", faiss.METRIC_L1), "measures by L1 distance"),
    "refined": (lambda: factory("IVF4,PQ4x4,RFlat"), "refines another's results"),
    "without duplicates": (lambda: factory("IVF4,FlatDedup"), "without duplicates"),
    "untrained": (untrained, "holds no vectors; take added_IVF"),
    "trained and empty": (trained_only, "holds no vectors; take added_IVF"),
    "empty flat": (lambda: faiss.IndexFlatL2(WIDTH), "holds no vectors"),
    "infinity": (infinite, "NaN or infinite"),
    "NaN": (not_a_number, "NaN or infinite"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_kind_of_index_is_refused_by_name(tmp_path: Path, case: str) -> None:
    make, complaint = OTHERS[case]
    path = write(make(), tmp_path / "voice.index")
    with pytest.raises(CheckpointError, match=complaint) as caught:
        load_index(path, WIDTH)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_binary_index_is_refused(tmp_path: Path) -> None:
    index = faiss.IndexBinaryFlat(16)
    index.add(np.zeros((40, 2), np.uint8))
    faiss.write_index_binary(index, str(tmp_path / "voice.index"))
    with pytest.raises(CheckpointError, match="binary"):
        load_index(tmp_path / "voice.index", WIDTH)


@pytest.mark.parametrize("name", ["missing.index", "folder.index", "empty.index", "text.index"])
def test_what_is_no_index_at_all(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder.index":
        path.mkdir()
    elif name != "missing.index":
        path.write_bytes(
            b"" if name == "empty.index" else b"not an index, but long enough to have a header in it\n" * 2
        )
    with pytest.raises(CheckpointError, match=name):
        load_index(path, WIDTH)


@pytest.mark.parametrize("short", [False, True])
def test_lists_in_another_file_are_not_opened(tmp_path: Path, opened_files: list[str], short: bool) -> None:
    """faiss opens that file to read and to write, whatever it is."""
    index, lists = ivf(clustered()), tmp_path / "private.key"
    on_disk = faiss.OnDiskInvertedLists(CELLS, index.code_size, str(lists))
    on_disk.merge_from_1(index.invlists)
    index.replace_invlists(on_disk, True)
    on_disk.this.disown()
    path = write(index, tmp_path / "voice.index")
    if short:
        lists.write_bytes(b"secret")
    opened_files.clear()
    with pytest.raises(CheckpointError, match="voice.index: its lists are in another file"):
        load_index(path, WIDTH)
    assert str(path) in opened_files
    assert str(lists) not in opened_files


@pytest.mark.parametrize("name", ["IDMap,Flat", "IDMap2,Flat", "IDMap,IVF4,Flat"])
def test_numbers_of_its_own(tmp_path: Path, name: str) -> None:
    loaded = load_index(write(factory(name), tmp_path / "voice.index"), WIDTH)
    assert np.array_equal(loaded.vectors, clustered(100))


def test_the_vectors_can_be_written_to(tmp_path: Path) -> None:
    """PyTorch takes no other arrays."""
    for make in (flat, ivf):
        assert load_index(write(make(clustered()), tmp_path / "voice.index"), WIDTH).vectors.flags.writeable


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 57577000\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html><title>Sign in</title></html>", "a web page"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (b"", "the file is empty"),
    ],
)
def test_what_people_hold_by_mistake(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "voice.index").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"voice.index: {complaint}"):
        load_index(tmp_path / "voice.index", WIDTH)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Sound files of the layouts that are read."""
    folder = tmp_path_factory.mktemp("whole")
    makes = (ivf, flat, with_direct_map, lambda vectors: ivf(vectors, cells=50))
    return [write(make(clustered(50)), folder / "whole.index").read_bytes() for make in makes]


LIES = (1 << 23, 1 << 31, 10**9, 1 << 40, 1 << 61, 1 << 62, (1 << 63) - 1, (1 << 64) - 1)


@pytest.mark.parametrize("layout", range(4))
def test_lengths_that_lie_allocate_nothing(tmp_path: Path, whole: list[bytes], layout: int) -> None:
    """Every eight bytes of the headers, that of the cells too, claim immense numbers in turn: an error or the vectors,
    and no more memory than a small file is worth."""
    resource = pytest.importorskip("resource")
    content = whole[layout]
    cells = content.find(b"ilar")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for place in [*range(4, 120), *(range(cells, cells + 40) if cells > 0 else ())]:
        for lie in LIES:
            load_damaged(tmp_path, content[:place] + struct.pack("<Q", lie) + content[place + 8 :])
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 64 * MIB


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_give_an_error_or_vectors(tmp_path: Path, whole: list[bytes], data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(whole)))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 8))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    load_damaged(tmp_path, bytes(content))


def load_damaged(folder: Path, content: bytes) -> None:
    path = folder / "damaged.index"
    path.write_bytes(content)
    try:
        vectors = load_index(path, WIDTH).vectors
    except CheckpointError as error:
        assert "damaged.index" in str(error)
    else:
        assert np.isfinite(vectors).all()
        assert 0 < vectors.nbytes <= len(content)
