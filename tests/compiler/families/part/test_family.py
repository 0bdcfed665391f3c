from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import Voxc
from tests.voices import fairseq_names, write_encoder, write_rmvpe, write_voice
from voxc.compiler.core.errors import CheckpointError, RecipeError
from voxc.compiler.families import load_model, recognise
from voxc.compiler.verify import verify_bundle


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "content", layers=3)


def write_fairseq(directory: Path, *, archive: bool = True) -> Path:
    path = directory.with_name("hubert_base.pt")
    content = {"model": fairseq_names(load_file(directory / "model.safetensors"))}
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    return path


@pytest.mark.parametrize("archive", [True, False])
def test_encoders_are_recognised_by_their_tensors(directory: Path, archive: bool) -> None:
    assert recognise(directory).name == "part"
    assert recognise(write_fairseq(directory, archive=archive)).name == "part"


def test_voices_are_not_parts(tmp_path: Path, speaking_voice: Path) -> None:
    assert recognise(write_voice(tmp_path / "tiny.pth")).name == "rvc"
    assert recognise(speaking_voice).name == "rvc"


def test_both_files_give_one_network(directory: Path) -> None:
    audio = torch.randn(1, 720)
    (one,), (other,) = load_model(directory).components, load_model(write_fairseq(directory)).components
    assert torch.equal(one.module(audio), other.module(audio))


def test_the_layer_and_the_projection(directory: Path) -> None:
    assert load_model(directory).facts["features"] == 24
    model = load_model(directory, {"content_layer": 1, "final_proj": True})
    assert (model.facts["layer"], model.facts["features"]) == (1, 256)
    with pytest.raises(RecipeError, match="--content-layer 4: .* has layers 1 to 3"):
        load_model(directory, {"content_layer": 4})


def test_other_files_by_the_family_of_parts(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tiny.pth: not a network that voxc knows by itself"):
        load_model(write_voice(tmp_path / "tiny.pth"), family="part")


def test_commands(voxc: Voxc, directory: Path, tmp_path: Path) -> None:
    done = voxc("compile", write_fairseq(directory), "-t", "onnxruntime-cpu", "--segment", "1", "-o", tmp_path / "b")
    assert done.exit_code == 0, done.output
    assert "does not say how many attention heads" in done.output
    assert verify_bundle(tmp_path / "b")
    refused = voxc("convert", directory / "config.json", "--bundle", tmp_path / "b", "-o", tmp_path / "o.wav")
    assert "a part model has nothing to convert; see `voxc run`" in refused.output


def test_an_f0_network(tmp_path: Path) -> None:
    path = write_rmvpe(tmp_path / "network.pt")
    model = load_model(path)
    assert (model.family, model.facts["network"]) == ("part", "rmvpe")
    assert [component.name for component in model.components] == ["rmvpe"]
    with pytest.raises(RecipeError, match="network.pt: is an F0 network; --content-layer and --final-proj are for"):
        load_model(path, {"content_layer": 3})
