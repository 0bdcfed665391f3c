from __future__ import annotations

import io
import random
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.torch_file.objects import Foreign
from voxc.compiler.torch_file.read import read_torch_file

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int8, torch.uint8, torch.bool)
FORMATS = {"archive": {}, "archive, protocol 4": {"pickle_protocol": 4},
           "before archives": {"_use_new_zipfile_serialization": False}}  # fmt: skip


def content() -> dict[str, Any]:
    whole = torch.arange(60.0)
    return {
        "dtypes": [torch.arange(5).to(dtype) for dtype in DTYPES],
        "views": [whole, whole[10:20], whole.reshape(6, 10).T, whole[::3]],
        "nothing": torch.empty(0, 3),
        "scalar": torch.tensor(2.5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "ordered": OrderedDict(a=torch.ones(1), b=2),
        "plain": (1, "two", None, True, [3.5]),
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], value) for key, value in other.items())
    if isinstance(other, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("layout", FORMATS)
def test_tensors_are_as_pytorch_reads_them(tmp_path: Path, layout: str) -> None:
    torch.save(content(), tmp_path / "file.pth", **FORMATS[layout])
    result = read_torch_file(tmp_path / "file.pth")
    assert same(result, torch.load(tmp_path / "file.pth", weights_only=False))


@pytest.mark.parametrize("layout", FORMATS)
def test_storages_stay_shared(tmp_path: Path, layout: str) -> None:
    """Otherwise a small file could ask for much memory."""
    torch.save(content(), tmp_path / "file.pth", **FORMATS[layout])
    views = read_torch_file(tmp_path / "file.pth")["views"]
    views[0][10] = -1
    assert views[1][0] == -1


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (torch.ones(8).to_sparse(), "an object that voxc does not read.*sparse"),
        (torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8), "that voxc does not read"),
        (torch.ones(1).expand(1 << 14, 1 << 14), "claim more elements than the file holds"),
        (torch.empty(3, device="meta"), "that voxc does not read"),
    ],
)
def test_other_tensors_are_refused(tmp_path: Path, value: torch.Tensor, complaint: str) -> None:
    torch.save({"a": value}, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match=f"file.pth: .*{complaint}"):
        read_torch_file(tmp_path / "file.pth")


def test_a_module_is_no_use(tmp_path: Path) -> None:
    """Its class stays a name."""
    torch.save(torch.nn.Linear(2, 2), tmp_path / "file.pth")
    result = read_torch_file(tmp_path / "file.pth")
    assert isinstance(result, Foreign)
    assert result.kind == "torch.nn.modules.linear.Linear"


def test_a_torchscript_module(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match="a TorchScript module; save the state_dict"):
        read_torch_file(tmp_path / "file.pth")


def test_an_archive_of_other_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "file.pth", "w") as archive:
        archive.writestr("voice.pth", b"x")
    with pytest.raises(CheckpointError, match=r"an archive of other files \(voice.pth\); unpack it first"):
        read_torch_file(tmp_path / "file.pth")


def whole(layout: str) -> bytes:
    stream = io.BytesIO()
    torch.save({"weight": {"a": torch.arange(20.0), "b": torch.ones(3, 4).half()}, "info": "x" * 20}, stream,
               **FORMATS[layout])  # fmt: skip
    return stream.getvalue()


@pytest.mark.parametrize("layout", FORMATS)
def test_files_that_were_cut(tmp_path: Path, layout: str) -> None:
    file, content = tmp_path / "file.pth", whole(layout)
    for size in range(0, len(content), 37):
        file.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match="file.pth: ") as caught:
            read_torch_file(file)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", FORMATS)
def test_mutated_files_give_an_error_or_tensors(tmp_path: Path, layout: str, opened_files: list[str]) -> None:
    """And no other file is opened, and no more memory taken than the file holds."""
    resource = pytest.importorskip("resource")
    file, content, draw = tmp_path / "file.pth", whole(layout), random.Random(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(1000):
        mutated = bytearray(content)
        for _ in range(draw.randint(1, 6)):
            place = draw.randrange(len(mutated))
            if draw.random() < 0.5:
                mutated[place] = draw.randrange(256)
            else:
                mutated[place : place + 8] = struct.pack("<Q", draw.choice((0, 1 << 31, 1 << 40, (1 << 64) - 1)))
        file.write_bytes(mutated)
        opened_files.clear()
        try:
            read_torch_file(file)
        except CheckpointError as error:
            assert str(error).startswith(str(file))
        assert set(opened_files) <= {str(file)}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10
