from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tests.voices import write_encoder
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.rvc.listening import LISTENS_TO
from voxc.compiler.networks.hubert import directory as module
from voxc.compiler.networks.hubert.load import load_encoder, open_encoder


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "content")


def change_config(directory: Path, **changes: object) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(directory: Path, **changes: torch.Tensor | None) -> None:
    path = directory / "model.safetensors"
    tensors = load_file(path) | changes
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)


def refused(directory: Path, complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint) as caught:
        load_encoder(directory, LISTENS_TO["v1"])
    assert str(directory) in str(caught.value)


def test_a_model_inside_a_task_head_loads(directory: Path) -> None:
    audio = torch.randn(1, 720)
    expected = load_encoder(directory, LISTENS_TO["v1"])(audio)
    path = directory / "model.safetensors"
    tensors = {f"hubert.{name}": tensor for name, tensor in load_file(path).items()}
    save_file(tensors | {"lm_head.weight": torch.ones(2)}, path)
    assert torch.equal(load_encoder(directory, LISTENS_TO["v1"])(audio), expected)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_stands_for_its_directory(directory: Path, name: str) -> None:
    assert open_encoder(directory / name).path == directory


def test_a_missing_directory(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such file or directory")


def test_no_config(directory: Path) -> None:
    (directory / "config.json").unlink()
    refused(directory, "config.json: No such file")


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, '"hubert"'])
def test_a_damaged_config(directory: Path, text: str) -> None:
    (directory / "config.json").write_text(text)
    refused(directory, "config.json: ")


def test_a_config_of_another_architecture(directory: Path) -> None:
    change_config(directory, model_type="wav2vec2")
    refused(directory, "model_type is 'wav2vec2'")


def test_an_impossible_config(directory: Path) -> None:
    change_config(directory, num_hidden_layers=10**9)
    refused(directory, "num_hidden_layers")


def as_pickle(directory: Path) -> None:
    """As publishers of ContentVec ship it: `pytorch_model.bin`, with weight norms under their older names."""
    path = directory / "model.safetensors"
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    tensors = load_file(path)
    path.unlink()
    for new, name in old.items():
        tensors = {key.replace(new, name): tensor for key, tensor in tensors.items()}
    torch.save(tensors, directory / "pytorch_model.bin")


def as_shards(directory: Path) -> None:
    path = directory / "model.safetensors"
    tensors = load_file(path)
    path.unlink()
    parts = {"a.safetensors": list(tensors)[::2], "b.safetensors": list(tensors)[1::2]}
    for name, keys in parts.items():
        save_file({key: tensors[key] for key in keys}, directory / name)
    index = {"weight_map": {key: name for name, keys in parts.items() for key in keys}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


def as_snapshot(directory: Path) -> None:
    """As the Hugging Face Hub keeps a model: links into a folder of blobs."""
    (directory / "blobs").mkdir()
    snapshot = directory / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (directory / name).rename(directory / "blobs" / name)
        (snapshot / name).symlink_to(f"../../blobs/{name}")


def with_byte_order_mark(directory: Path) -> None:
    path = directory / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


@pytest.mark.parametrize("layout", [as_pickle, as_shards, as_snapshot, with_byte_order_mark])
def test_layouts_of_publishers(directory: Path, layout: Callable[[Path], None]) -> None:
    audio = torch.randn(1, 720)
    expected = load_encoder(directory, LISTENS_TO["v1"])(audio)
    layout(directory)
    assert torch.equal(load_encoder(directory, LISTENS_TO["v1"])(audio), expected)


def test_no_weights(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    refused(directory, "no weights; there must be model.safetensors or pytorch_model.bin")


def test_a_pickle_with_code(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model.bin").write_bytes(b"\x80\x02cos\nsystem\nU\x04true\x85R.")
    refused(directory, r"refused, loading it would run code \(os.system\)")


def test_an_index_of_files_elsewhere(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    index = directory / "model.safetensors.index.json"
    for name in ("../model.safetensors", "/etc/passwd", ".hidden"):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        refused(directory, "is not a file beside it")
    index.write_text(json.dumps({"weight_map": {"a": "missing.safetensors"}}))
    refused(directory, "missing.safetensors: no such file")


def test_snapshots_to_choose_from(directory: Path) -> None:
    as_snapshot(directory)
    (directory / "snapshots" / "other").mkdir()
    refused(directory, "2 snapshots; give one of")
    (directory / "refs").mkdir()
    (directory / "refs" / "main").write_text("0123abcd\n")
    load_encoder(directory, LISTENS_TO["v1"])
    (directory / "refs" / "main").write_text("..")
    refused(directory, "2 snapshots")


@pytest.mark.parametrize("kept", [0, 7, 1000])
def test_truncated_weights(directory: Path, kept: int) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    refused(directory, "not a readable safetensors file" if kept else "the file is empty")


def test_a_header_that_lies(directory: Path) -> None:
    (directory / "model.safetensors").write_bytes((2**63 - 1).to_bytes(8, "little") + b"{}")
    refused(directory, "not a readable safetensors file")


def test_missing_and_misshapen_and_damaged_tensors(directory: Path) -> None:
    change_weights(directory, **{"final_proj.bias": None})
    refused(directory, "missing tensors: final_proj.bias")
    change_weights(directory, **{"final_proj.bias": torch.ones(3)})
    refused(directory, r"final_proj.bias has shape \[3\], the config asks for \[256\]")
    change_weights(directory, **{"final_proj.bias": torch.full((256,), torch.nan)})
    refused(directory, "NaN or infinite values in final_proj.bias")


def test_a_tensor_that_cannot_be_read(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> Opened:
            return self

        def __exit__(self, *_: object) -> None: ...

        def keys(self) -> list[str]:
            return ["final_proj.bias"]

        def get_tensor(self, key: str) -> None:
            raise SafetensorError(f"{key}: unknown type")

    monkeypatch.setattr(module, "safe_open", Opened)
    refused(directory, "not a readable safetensors file .final_proj.bias: unknown type")
