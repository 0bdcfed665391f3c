from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.voices import write_encoder
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.networks.hubert.directory import load_encoder


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
        load_encoder(directory, "v1")
    assert str(directory) in str(caught.value)


def test_a_model_inside_a_task_head_loads(directory: Path) -> None:
    audio = torch.randn(1, 720)
    expected = load_encoder(directory, "v1")(audio)
    path = directory / "model.safetensors"
    tensors = {f"hubert.{name}": tensor for name, tensor in load_file(path).items()}
    save_file(tensors | {"lm_head.weight": torch.ones(2)}, path)
    assert torch.equal(load_encoder(directory, "v1")(audio), expected)


def test_a_file_in_place_of_the_directory(directory: Path) -> None:
    refused(directory / "config.json", "Hugging Face directory")


def test_a_missing_directory(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "Hugging Face directory")


def test_no_config(directory: Path) -> None:
    (directory / "config.json").unlink()
    refused(directory, "config.json: not readable as JSON")


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


def test_no_weights_but_a_pickle(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model.bin").write_bytes(b"x")
    refused(directory, "no such file; pytorch_model.bin is a pickle")


@pytest.mark.parametrize("kept", [0, 7, 1000])
def test_truncated_weights(directory: Path, kept: int) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    refused(directory, "not a readable safetensors file")


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
