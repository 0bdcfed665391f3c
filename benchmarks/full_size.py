"""Full-size voices and encoders with random weights: time and memory are those of real ones, the sound is noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import HubertConfig, HubertModel

from voxc.compiler.families.rvc.config import parse_config
from voxc.compiler.families.rvc.synthesizer import Synthesizer

DILATIONS = [[1, 3, 5]] * 3
# The configs that RVC ships for version 2, in the order of its checkpoint list.
CONFIGS: dict[str, list[Any]] = {
    "v2_32k": [513, 32, 192, 192, 768, 2, 6, 3, 0, "1", [3, 7, 11], DILATIONS, [10, 8, 2, 2], 512, [20, 16, 4, 4],
               109, 256, 32000],
    "v2_40k": [1025, 32, 192, 192, 768, 2, 6, 3, 0, "1", [3, 7, 11], DILATIONS, [10, 10, 2, 2], 512, [16, 16, 4, 4],
               109, 256, 40000],
    "v2_48k": [1025, 32, 192, 192, 768, 2, 6, 3, 0, "1", [3, 7, 11], DILATIONS, [12, 10, 2, 2], 512, [24, 20, 4, 4],
               109, 256, 48000],
}  # fmt: skip


def write_content(folder: Path, seed: int = 0) -> Path:
    """Writes a content encoder of HuBERT base's size as a Hugging Face directory."""
    torch.manual_seed(seed)
    HubertModel(HubertConfig()).save_pretrained(folder)
    return folder


def write_voice(path: Path, name: str = "v2_40k", seed: int = 0) -> Path:
    """Writes a checkpoint as RVC does: float16, weight norm as `weight_g` and `weight_v`."""
    values = CONFIGS[name]
    torch.manual_seed(seed)
    network = Synthesizer(parse_config(values, speakers=values[15], version="v2", f0=1, path=path))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter.mul_(0.1)
    torch.save(
        {
            "weight": {key: tensor.half() for key, tensor in network.state_dict().items()},
            "config": values,
            "info": "random weights",
            "sr": name.rpartition("_")[2],
            "f0": 1,
            "version": "v2",
        },
        path,
    )
    return path
