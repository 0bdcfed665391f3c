from __future__ import annotations

import argparse
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.voices import fairseq_names, write_encoder
from voxc.compiler.core.errors import CheckpointError, RecipeError
from voxc.compiler.networks.hubert.load import Listening, load_encoder, open_encoder

SETTINGS = {"encoder_attention_heads": 4, "layer_norm_first": False}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "content", layers=3)


@pytest.fixture
def tensors(directory: Path) -> dict[str, torch.Tensor]:
    return fairseq_names(load_file(directory / "model.safetensors"))


def listen(path: Path) -> torch.Tensor:
    torch.manual_seed(0)
    return load_encoder(path, Listening(2, True))(torch.randn(1, 720))


def test_golden_vectors(golden: Path, subtests: pytest.Subtests) -> None:
    for features in sorted(golden.glob("hubert*/features.safetensors")):
        vectors = load_file(features)
        for path in (*features.parent.glob("*.pt"), features.parent / "hf"):
            for name, expected in vectors.items():
                kind, _, layer = name.rpartition("_")
                if not name.startswith("output/") or layer in ("0", "short"):
                    continue
                with subtests.test(f"{path.name} {name}"):
                    listening = Listening(int(layer), "final_proj" in kind, exact=True)
                    result = load_encoder(path, listening)(vectors["input/audio"].float())
                    torch.testing.assert_close(result, expected.float(), atol=2e-5, rtol=0)


class Node:
    """What omegaconf keeps a value, or values by name, in."""

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)


def omegaconf(values: Any) -> Node:
    if isinstance(values, dict):
        return Node(_metadata=Node(key=None), _content={key: omegaconf(value) for key, value in values.items()})
    return Node(_metadata=Node(key=None), _val=values)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Node is pickled as a class of omegaconf."""
    module = types.ModuleType("omegaconf")
    module.Node = Node  # type: ignore[attr-defined]
    monkeypatch.setattr(Node, "__module__", module.__name__)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def layouts() -> dict[str, dict[str, Any]]:
    sections = {"model": SETTINGS, "task": {"normalize": True}}
    return {
        "plain": {"cfg": sections, "args": None},
        "omegaconf": {"cfg": omegaconf(sections)},
        "argparse": {"args": argparse.Namespace(**SETTINGS, normalize=True)},
    }


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("layout", layouts())
def test_settings_beside_the_tensors(
    directory: Path, tensors: dict[str, torch.Tensor], tmp_path: Path, layout: str, archive: bool
) -> None:
    path = tmp_path / "hubert_base.pt"
    content = {**layouts()[layout], "model": {name: tensor.half() for name, tensor in tensors.items()}}
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    stored = open_encoder(path)
    assert stored.normalizes
    assert stored.config.num_attention_heads == 4
    assert stored.warnings == ()
    (directory / "preprocessor_config.json").write_text('{"do_normalize": true}')
    torch.testing.assert_close(listen(path), listen(directory), atol=0.02, rtol=0)


def test_a_state_dict_alone(directory: Path, tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(tensors, tmp_path / "encoder.pt")
    (warning,) = open_encoder(tmp_path / "encoder.pt").warnings
    assert "does not say how many attention heads it has; taken as 4" in warning
    assert torch.equal(listen(tmp_path / "encoder.pt"), listen(directory))


def test_a_state_dict_of_hugging_face(directory: Path, tmp_path: Path) -> None:
    torch.save(load_file(directory / "model.safetensors"), tmp_path / "encoder.bin")
    assert torch.equal(listen(tmp_path / "encoder.bin"), listen(directory))


def test_the_layer_that_is_listened_to(directory: Path) -> None:
    assert len(load_encoder(directory, Listening(None, True)).encoder.layers) == 3
    assert len(load_encoder(directory, Listening(12, False)).encoder.layers) == 3
    assert len(load_encoder(directory, Listening(1, False, exact=True)).encoder.layers) == 1
    with pytest.raises(RecipeError, match=r"--content-layer 4: .*content has layers 1 to 3"):
        load_encoder(directory, Listening(4, False, exact=True))


class Malice:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("true",)


@pytest.mark.parametrize("place", ["cfg", "args", "task_state"])
@pytest.mark.parametrize("archive", [True, False])
def test_code_is_refused(tensors: dict[str, torch.Tensor], tmp_path: Path, place: str, archive: bool) -> None:
    torch.save({place: Malice(), "model": tensors}, tmp_path / "h.pt", _use_new_zipfile_serialization=archive)
    with pytest.raises(CheckpointError, match=r"h.pt: refused, loading it would run code \(.*system\)"):
        open_encoder(tmp_path / "h.pt")


def changed(tensors: dict[str, torch.Tensor], **changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in (tensors | changes).items() if tensor is not None}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda them: {"model": [1]}, "not a content encoder: it has no tensors of HuBERT"),
        (lambda them: [1], "holds a list, not a content encoder"),
        (lambda them: {"cfg": {"model": {"layer_norm_first": True}}, "model": them}, "HuBERT large"),
        (lambda them: {"cfg": {"model": {"encoder_attention_heads": 5}}, "model": them}, "5 heads do not divide 24"),
        (lambda them: changed(them, **{"post_extract_proj.weight": torch.ones(3)}), "other dimensions than HuBERT's"),
        (lambda them: changed(them, **{"encoder.layers.1.fc1.bias": None}), "missing tensors: encoder.layers.1"),
        (lambda them: changed(them, **{"final_proj.weight": None, "final_proj.bias": None}), "has no final_proj"),
        (lambda them: changed(them, **{"feature_extractor.conv_layers.6.0.weight": None}), "differ in length"),
    ],
)
def test_what_is_no_encoder(tensors: dict[str, torch.Tensor], tmp_path: Path, change: Any, complaint: str) -> None:
    torch.save(change(tensors), tmp_path / "h.pt")
    with pytest.raises(CheckpointError, match=f"h.pt: .*{complaint}"):
        load_encoder(tmp_path / "h.pt", Listening(2, True))
