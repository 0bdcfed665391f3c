"""Voices and content encoders with random weights, as small as their architectures allow, in their tools' layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import soundfile
import torch
from safetensors.torch import save_file

from voxc.compiler.families.rvc.config import FIELDS, RvcConfig, parse_config
from voxc.compiler.families.rvc.synthesizer import Synthesizer, SynthesizerNoF0
from voxc.compiler.families.rvc.training import UNUSED
from voxc.compiler.networks.hubert.network import HubertConfig, HubertEncoder
from voxc.compiler.networks.rmvpe.network import RmvpeConfig, RmvpeNetwork

# spec_channels, segment_size, inter, hidden, filter, heads, layers, kernel, dropout, resblock, kernels, dilations,
# rates, initial channels, upsampling kernels, speakers, gin, sample rate
TINY: list[Any] = [
    1025, 32, 4, 4, 8, 2, 1, 3, 0, "1", [3], [[1, 3]], [10, 4], 8, [16, 8], 2, 4, 4000
]  # fmt: skip


def tiny_content(
    config: list[Any] | None = None, *, version: str = "v2", f0: int = 1, seed: int = 0, training_part: bool = False
) -> dict[str, Any]:
    """What torch.save is given: float16 weights, `weight_g` and `weight_v` apart."""
    values = list(config or TINY)
    parsed = parse_config(values, speakers=values[15], version=version, f0=f0, path="test")
    weight = random_weights(parsed, seed)
    if training_part:
        weight["enc_q.pre.weight"] = torch.zeros(4, 1025, 1).half()
    return {"weight": weight, "config": values, "info": "test", "sr": "4k", "f0": f0, "version": version}


def random_weights(config: RvcConfig, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    network = (Synthesizer if config.f0 else SynthesizerNoF0)(config)
    weights = {
        name: (torch.randn(tensor.shape, generator=generator) * 0.3).half()
        for name, tensor in network.state_dict().items()
    }
    for name in weights:
        if name.endswith("weight_g"):
            direction = weights[name.removesuffix("_g") + "_v"].float()
            weights[name] = (torch.linalg.vector_norm(direction, dim=(1, 2), keepdim=True) * 1.1).half()
    return weights


def write_voice(path: Path, content: dict[str, Any] | None = None, **options: Any) -> Path:
    torch.save(tiny_content(**options) if content is None else content, path)
    return path


def write_training(folder: Path, **options: Any) -> Path:
    """A folder of a training: G_100.pth and its config.json."""
    folder.mkdir(exist_ok=True)
    content = tiny_content(training_part=True, **options)
    state = {"model": content["weight"], "iteration": 100, "optimizer": {"state": {}}, "learning_rate": 1e-4}
    torch.save(state, folder / "G_100.pth")
    named = dict(zip(FIELDS, TINY, strict=True))
    model = {name: value for name, value in named.items() if name not in UNUSED and name != "sample_rate"}
    settings = {"train": {"epochs": 2}, "data": {"sampling_rate": named["sample_rate"]}, "model": model}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


# A HubertModel's config.json.
SMALL_ENCODER: dict[str, Any] = {
    "model_type": "hubert", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 32, "conv_dim": [8] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 256,
}  # fmt: skip


def write_encoder(directory: Path, *, layers: int = 2, width: int = 24) -> Path:
    """A Hugging Face directory whose encoder fits v1 voices, and v2 voices if it is 768 wide."""
    directory.mkdir(parents=True)
    values = SMALL_ENCODER | {"num_hidden_layers": layers, "hidden_size": width}
    torch.manual_seed(0)
    encoder = HubertEncoder(HubertConfig.model_validate(values), layers, project=True)
    (directory / "config.json").write_text(json.dumps(values))
    save_file(encoder.state_dict(), directory / "model.safetensors")
    return directory


FAIRSEQ_NAMES = (
    ("attention.", "self_attn."), ("feed_forward.intermediate_dense.", "fc1."), ("feed_forward.output_dense.", "fc2."),
    ("encoder.pos_conv_embed.conv.", "encoder.pos_conv.0."), (".conv.", ".0."),
    ("conv_layers.0.layer_norm.", "conv_layers.0.2."), ("feature_projection.layer_norm.", "layer_norm."),
    ("feature_projection.projection.", "post_extract_proj."),
)  # fmt: skip


def fairseq_name(name: str) -> str:
    layer, separator, rest = name.partition(".layer_norm.")
    if name.startswith("encoder.layers.") and separator:
        return f"{layer}.self_attn_layer_norm.{rest}"
    for ours, other in FAIRSEQ_NAMES:
        name = name.replace(ours, other)
    return name


def fairseq_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of an encoder as fairseq names them."""
    return {fairseq_name(name): tensor for name, tensor in tensors.items()}


TINY_RMVPE = RmvpeConfig(channels=1, levels=2, bottleneck=1, blocks=1)


def write_rmvpe(path: Path) -> Path:
    """RMVPE as small as it can be; what it hears is nonsense."""
    torch.manual_seed(0)
    torch.save(RmvpeNetwork(TINY_RMVPE).state_dict(), path)
    return path


def write_speaking_voice(directory: Path) -> Path:
    """A directory with all that a conversion needs: checkpoint, encoder, index, a sample, a recording of a speaker."""
    write_encoder(directory / "content")
    write_voice(directory / "tiny.pth", version="v1")
    index = faiss.IndexFlatL2(256)
    index.add(np.random.default_rng(0).standard_normal((40, 256), np.float32))
    faiss.write_index(index, str(directory / "tiny.index"))
    write_tone(directory / "sample.wav", 150)
    (directory / "speakers").mkdir()
    write_tone(directory / "speakers" / "0.wav", 300)
    return directory


def write_tone(path: Path, hertz: float, seconds: float = 0.8, rate: int = 16000) -> Path:
    """A buzz whose pitch glides up by a tenth."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * hertz * (time + 0.05 * time**2 / seconds)
    soundfile.write(path, 0.2 * np.sign(np.sin(phase)) + 0.1 * np.sin(phase), rate)
    return path
