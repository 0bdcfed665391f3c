from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import HubertConfig as TheirConfig
from transformers import HubertModel

from tests.voices import SMALL_ENCODER, write_encoder
from voxc.compiler.families.rvc.listening import LISTENS_TO
from voxc.compiler.networks.hubert.load import load_encoder
from voxc.compiler.networks.hubert.network import HubertConfig, HubertEncoder


@pytest.mark.parametrize(("version", "layer"), [("v1", 9), ("v2", 11)])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("taps", [16, 15])
def test_equals_the_reference(tmp_path: Path, version: str, layer: int, normalize: bool, taps: int) -> None:
    """Hugging Face's own class saves, ours loads; v2 wants layer 12 and gets the last of eleven."""
    torch.manual_seed(0)
    theirs = HubertModel(TheirConfig(**SMALL_ENCODER | {"num_hidden_layers": 11, "num_conv_pos_embeddings": taps}))
    theirs.eval().final_proj = torch.nn.Linear(24, 256)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    theirs.save_pretrained(tmp_path)
    if normalize:
        (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": true}')
    audio = torch.randn(2, 320 * 12 + 80) * 0.1 + 0.05
    given = audio
    if normalize:
        given = (audio - audio.mean(1, keepdim=True)) / torch.sqrt(audio.var(1, keepdim=True, correction=0) + 1e-7)
    with torch.no_grad():
        expected = theirs(given, output_hidden_states=True).hidden_states[layer]
        expected = theirs.final_proj(expected) if version == "v1" else expected
        found = load_encoder(tmp_path, LISTENS_TO[version])(audio)
    assert found.shape == (2, 12, 256 if version == "v1" else 24)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


def test_layers_that_nobody_listens_to_are_not_built(tmp_path: Path) -> None:
    encoder = load_encoder(write_encoder(tmp_path / "content", layers=12), LISTENS_TO["v1"])
    assert len(encoder.encoder.layers) == 9


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"num_attention_heads": 5}, "5 heads do not divide 24"),
        ({"num_conv_pos_embedding_groups": 7}, "7 groups do not divide 24"),
        ({"conv_stride": [5, 2, 2, 2, 2, 2, 1]}, "frames of 400 samples every 160"),
        ({"conv_dim": [8] * 6}, "differ in length"),
        ({"do_stable_layer_norm": True}, "Input should be False"),
        ({"hidden_size": 1 << 20}, "less than or equal"),
    ],
)
def test_what_cannot_be_built_is_refused(wrong: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        HubertConfig.model_validate(SMALL_ENCODER | wrong)


def test_it_can_be_trained() -> None:
    encoder = HubertEncoder(HubertConfig.model_validate(SMALL_ENCODER), layers=2, project=True)
    encoder(torch.randn(1, 400)).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
