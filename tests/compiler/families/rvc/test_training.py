from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.voices import write_training, write_voice
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families import load_model, recognise


def audio(path: Path, **options: object) -> torch.Tensor:
    (component,) = load_model(path, options).components
    tensors = {name: torch.from_numpy(array) for name, array in component.reference_inputs({"T": 20}).items()}
    return component.run(tensors)["audio"]


@pytest.mark.parametrize(("version", "f0"), [("v1", 1), ("v2", 1), ("v2", 0)])
def test_a_file_of_a_training_is_the_voice_that_comes_of_it(tmp_path: Path, version: str, f0: int) -> None:
    expected = audio(write_voice(tmp_path / "voice.pth", version=version, f0=f0))
    path = write_training(tmp_path / "logs", version=version, f0=f0) / "G_100.pth"
    assert recognise(path).name == "rvc"
    assert torch.equal(audio(path), expected)
    assert load_model(path).depends == (path.with_name("config.json"),)


def test_a_bare_state_dict_on_several_gpus(tmp_path: Path) -> None:
    folder = write_training(tmp_path / "logs")
    expected = audio(folder / "G_100.pth")
    weights = torch.load(folder / "G_100.pth")["model"]
    torch.save({f"module.{name}": tensor.float() for name, tensor in weights.items()}, tmp_path / "bare.pth")
    assert torch.equal(audio(tmp_path / "bare.pth", config=folder / "config.json"), expected)


def test_without_settings(tmp_path: Path) -> None:
    folder = write_training(tmp_path / "logs")
    (folder / "config.json").rename(folder / "other.json")
    with pytest.raises(CheckpointError, match=r"G_100.pth: .*a file of its training .*give the config.json .*--config"):
        load_model(folder / "G_100.pth")
    assert audio(folder / "G_100.pth", config=folder / "other.json").numel()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "config.json: not readable as JSON"),
        ('{"model": {}}', "config.json: not the settings of a training"),
        ('{"model": {}, "data": {"sampling_rate": 4000}}', "'config' must hold the 18 values"),
        (None, "upsample_rates"),
    ],
)
def test_other_settings(tmp_path: Path, text: str | None, complaint: str) -> None:
    folder = write_training(tmp_path / "logs")
    if text is None:
        settings = json.loads((folder / "config.json").read_text())
        settings["model"]["upsample_rates"] = [0, "x"]
        text = json.dumps(settings)
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=complaint):
        load_model(folder / "G_100.pth")


def test_settings_beside_a_voice_do_not_matter(tmp_path: Path) -> None:
    voice = write_voice(tmp_path / "voice.pth")
    expected = audio(voice)
    (tmp_path / "config.json").write_text("{")
    assert torch.equal(audio(voice), expected)
