from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.compiler.families.generic.networks import network
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.generic.pt2 import is_pt2, is_size, read_pt2


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    module, inputs = network()
    path = tmp_path_factory.mktemp("pt2") / "network.pt2"
    torch.export.save(torch.export.export(module, tuple(inputs.values())), path)
    return path


def edited(file: Path, place: Path, edit: Callable[[str, bytes], tuple[str, bytes]]) -> Path:
    """The archive with its members changed."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(place, "w") as target:
        for name in source.namelist():
            target.writestr(*edit(name, source.read(name)))
    return place


def in_json(kind: str, change: Callable[[Any], None]) -> Callable[[str, bytes], tuple[str, bytes]]:
    def edit(name: str, content: bytes) -> tuple[str, bytes]:
        if kind not in name:
            return name, content
        document = json.loads(content)
        change(document)
        return name, json.dumps(document).encode()

    return edit


def test_the_network_computes_what_was_saved(file: Path) -> None:
    module, inputs = network()
    found = read_pt2(file)
    assert is_pt2(file)
    assert [spec.shape for spec in (*found.inputs, *found.outputs)] == [(1, 6, 20), (1, 6, 40), (1, 20, 12)]
    for expected, output in zip(module(*inputs.values()), found.module(*inputs.values()), strict=True):
        torch.testing.assert_close(output, expected)


class Doubling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x + 1], 1)


def test_open_sizes_are_bound_by_name(tmp_path: Path) -> None:
    size = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(Doubling(), (torch.randn(4, 3),), dynamic_shapes=({0: size},))
    torch.export.save(program, tmp_path / "open.pt2")
    with pytest.raises(CheckpointError, match=r"input x has an open size; give it: --size (s\d+)=N") as caught:
        read_pt2(tmp_path / "open.pt2")
    symbol = str(caught.value).partition("--size ")[2].partition("=")[0]
    found = read_pt2(tmp_path / "open.pt2", {symbol: 7})
    assert [spec.shape for spec in (*found.inputs, *found.outputs)] == [(7, 3), (7, 6)]


def set_operator(document: Any) -> None:
    document["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def set_pickle(document: Any) -> None:
    next(iter(document["config"].values()))["use_pickle"] = True


def set_size(document: Any) -> None:
    document["graph_module"]["graph"]["evil"] = {"expr_str": "__import__('os').system('true')"}


@pytest.mark.parametrize(
    ("kind", "change", "complaint"),
    [
        ("models/", set_operator, "calls torch.os.system, which is no operator"),
        ("model_weights_config", set_pickle, "a tensor that is a pickle"),
        ("models/", set_size, "which is no formula"),
    ],
)
def test_what_would_run_is_refused(
    file: Path, tmp_path: Path, kind: str, change: Callable[[Any], None], complaint: str
) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        read_pt2(edited(file, tmp_path / "evil.pt2", in_json(kind, change)))


def test_pickles_and_guards_are_never_looked_at(file: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    pickle = f"cbuiltins\nexec\n(S'open({str(ran)!r}, \"w\")'\ntR.".encode()

    def edit(name: str, content: bytes) -> tuple[str, bytes]:
        if "sample_inputs" in name:
            return name, pickle
        return in_json("models/", lambda each: each.update(guards_code=[f"open({str(ran)!r}, 'w')"]))(name, content)

    assert read_pt2(edited(file, tmp_path / "evil.pt2", edit)).inputs
    assert not ran.exists()


def rename(document: Any, old: str, new: str) -> Any:
    """The document with a name changed wherever it stands."""
    if isinstance(document, dict):
        return {rename(key, old, new): rename(value, old, new) for key, value in document.items()}
    if isinstance(document, list):
        return [rename(value, old, new) for value in document]
    return new if document == old else document


def set_argument(document: Any, name: str) -> None:
    argument = document["graph_module"]["graph"]["nodes"][0]["inputs"][-1]
    argument.update(name=name, kind=2)


def set_keyword_of_the_call(document: Any, name: str) -> None:
    signature = document["graph_module"]["module_call_graph"][0]["signature"]
    spec = json.loads(signature["in_spec"])
    spec[1]["children_spec"][1]["context"] = json.dumps([name])
    signature["in_spec"] = json.dumps(spec)


@pytest.mark.parametrize("where", ["input", "weight", "argument", "keyword"])
def test_names_are_never_executed(file: Path, tmp_path: Path, where: str) -> None:
    """PyTorch writes names into the source of the module, where the last input's would be a default value."""
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')"

    def change(document: Any) -> None:
        graph = document["graph_module"]["graph"]
        if where in ("input", "weight"):
            old = graph["inputs"][-1 if where == "input" else 0]["as_tensor"]["name"]
            document.update(rename(document, old, f"{old}={code}"))
        elif where == "argument":
            set_argument(document, f"x={code}, y")
        else:
            set_keyword_of_the_call(document, f"x={code}")

    with pytest.raises(CheckpointError, match="has the name .*which PyTorch would execute as code; refused"):
        read_pt2(edited(file, tmp_path / "evil.pt2", in_json("models/", change)))
    assert not ran.exists()


def test_other_files_are_not_read(file: Path, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        document["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"

    with pytest.raises(CheckpointError, match=r"calls torch\.ops\.aten\.from_file"):
        read_pt2(edited(file, tmp_path / "evil.pt2", in_json("models/", change)))


def test_tensors_that_claim_what_is_not_there(file: Path, tmp_path: Path) -> None:
    def change(document: Any) -> None:
        payload = next(iter(document["config"].values()))
        payload["tensor_meta"]["sizes"] = [{"as_int": 1 << 40}]

    with pytest.raises(CheckpointError, match="claims 1099511627776 elements, which its data has not"):
        read_pt2(edited(file, tmp_path / "evil.pt2", in_json("model_weights_config", change)))


def test_other_members_are_refused(file: Path, tmp_path: Path) -> None:
    place = edited(file, tmp_path / "evil.pt2", lambda name, content: (name, content))
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr("network/data/aotinductor/model/code.so", b"")
    with pytest.raises(CheckpointError, match=r"holds 'data/aotinductor/model/code\.so'"):
        read_pt2(place)


def test_bombs_are_refused(file: Path, tmp_path: Path) -> None:
    place = edited(file, tmp_path / "bomb.pt2", lambda name, content: (name, content))
    with zipfile.ZipFile(place, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("network/data/weights/weight_99", bytes(1 << 26))
    with pytest.raises(CheckpointError, match="far more than its own size"):
        read_pt2(place)


@pytest.mark.parametrize("cut", [10, 1000, 5000])
def test_damaged_files(file: Path, tmp_path: Path, cut: int) -> None:
    (tmp_path / "x.pt2").write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(CheckpointError, match="damaged or not a program|refused"):
        read_pt2(tmp_path / "x.pt2")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("s77", True),
        ("2*s0 + 1", True),
        ("Max(1, s3//2)", True),
        ("exit(s0)", False),
        ("s0.real", False),
        ("a[0]", False),
    ],
)
def test_formulas(text: str, safe: bool) -> None:
    assert is_size(text) == safe
