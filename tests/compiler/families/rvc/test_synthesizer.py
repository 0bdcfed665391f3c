from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.voice import load_voice

VOICES = ("rvc_v1_40k_f0", "rvc_v2_40k_f0", "rvc_v2_40k_nof0", "rvc_v2_48k_f0")
#: The same for what takes long; `make test` tries one of them.
SLOW_VOICES = tuple(name if name == "rvc_v2_40k_f0" else pytest.param(name, marks=pytest.mark.slow) for name in VOICES)
NOISE = {"prior_noise": "noise/0", "source_noise": "noise/2"}


@pytest.mark.parametrize("name", VOICES)
def test_eager_network_is_the_reference(golden: Path, name: str) -> None:
    """Our network, given the reference's draws, gives the reference's audio to float32 rounding."""
    vectors = load_file(golden / f"{name}.safetensors")
    (component,) = load_voice(VoiceFiles(golden / f"{name}.pth")).components
    tensors = {spec.name: vectors[f"input/{spec.name}"] for spec in component.inputs}
    tensors |= {spec.name: vectors[NOISE[spec.name]] for spec in component.noise}
    audio = component.run(tensors)["audio"]
    assert (audio - vectors["output/audio"]).abs().max() < 2e-6


def test_references_are_deterministic_and_speech_like(voice_file: Path) -> None:
    (component,) = load_voice(VoiceFiles(voice_file)).components
    first, second = component.reference_inputs({"T": 100}), component.reference_inputs({"T": 100})
    assert all((first[name] == second[name]).all() for name in first)
    assert first["pitch"].min() == 1
    assert first["pitch"].max() <= 255
    assert (first["nsff0"] == 0).any()
    assert ((first["nsff0"] == 0) == (first["pitch"] == 1)).all()


def test_the_speaker_matters(voice_file: Path) -> None:
    (component,) = load_voice(VoiceFiles(voice_file)).components
    tensors = {name: torch.from_numpy(array) for name, array in component.reference_inputs({"T": 10}).items()}
    one, other = (component.run(tensors | {"sid": torch.tensor([sid])})["audio"] for sid in (0, 1))
    assert (one - other).abs().max() > 1e-3


def test_another_seed_is_another_stretch_of_speech(voice_file: Path) -> None:
    (component,) = load_voice(VoiceFiles(voice_file)).components
    first, other = component.reference_inputs({"T": 100}), component.reference_inputs({"T": 100}, seed=1)
    assert all((first[name] == array).all() for name, array in component.reference_inputs({"T": 100}, seed=0).items())
    assert {name for name in first if (first[name] == other[name]).all()} == {"sid"}
    assert ((other["nsff0"] == 0) == (other["pitch"] == 1)).all()
