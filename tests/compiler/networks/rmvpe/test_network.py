from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.compiler.networks.test_mel import framed
from voxc.compiler.networks.rmvpe.file import config_of
from voxc.compiler.networks.rmvpe.network import Rmvpe, RmvpeConfig, RmvpeNetwork, padded

TINY = RmvpeConfig(channels=1, levels=2, bottleneck=1, blocks=1)


def reference(golden: Path) -> tuple[RmvpeNetwork, dict[str, Tensor]]:
    arrays = load_file(golden / "rmvpe_e2e.safetensors")
    state = {name.removeprefix("state_dict/"): each for name, each in arrays.items() if name.startswith("state_dict/")}
    network = RmvpeNetwork(config_of(state)).eval()
    network.load_state_dict({name: each.float() for name, each in state.items()})
    return network, arrays


def test_equals_the_reference(golden: Path) -> None:
    network, arrays = reference(golden)
    with torch.inference_mode():
        salience = network(arrays["input/mel"].transpose(1, 2))
    torch.testing.assert_close(salience, arrays["output/hidden"], atol=3e-5, rtol=0)


def test_audio_to_salience(golden: Path) -> None:
    """Frames are brought to a multiple of 32 by zeros, although four levels would need 16."""
    network, arrays = reference(golden)
    expected = arrays["output/infer_hidden"]
    with torch.inference_mode():
        salience = Rmvpe(network)(framed(arrays["input/audio"].numpy(), expected.shape[1]))
    torch.testing.assert_close(salience, expected, atol=3e-5, rtol=0)


def test_the_full_network_has_the_tensors_of_the_file(golden: Path) -> None:
    layout = json.loads((golden / "f0" / "rmvpe_layout.json").read_text())
    with torch.device("meta"):
        state = RmvpeNetwork(RmvpeConfig()).state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == {
        name: shape for name, (_, shape) in layout.items()
    }
    assert config_of({name: torch.empty(shape, device="meta") for name, (_, shape) in layout.items()}) == RmvpeConfig()


@pytest.mark.parametrize("missing", [0, 3])
def test_padding(missing: int) -> None:
    mel = torch.randn(1, 29, 4)
    torch.testing.assert_close(padded(mel, missing, "zeros"), torch.nn.functional.pad(mel, (0, 0, 0, missing)))
    reflected = torch.nn.functional.pad(mel.transpose(1, 2), (0, missing), mode="reflect").transpose(1, 2)
    torch.testing.assert_close(padded(mel, missing, "reflect"), reflected)


def test_the_two_paddings_differ_only_beyond_the_audio() -> None:
    torch.manual_seed(0)
    network = RmvpeNetwork(TINY).eval()
    audio = torch.randn(1, 160 * 33 + 864)
    with torch.inference_mode():
        zeros, reflected = (Rmvpe(network, padding)(audio) for padding in ("zeros", "reflect"))
    assert zeros.shape == reflected.shape == (1, 33, 360)
    assert not torch.equal(zeros, reflected)
