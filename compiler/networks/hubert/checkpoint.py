"""Reads a content encoder from one file: a checkpoint as fairseq writes it, or a state dict alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.networks.hubert.network import HubertConfig
from voxc.compiler.networks.hubert.stored import Stored, our_name
from voxc.compiler.torch_file.objects import Foreign
from voxc.compiler.torch_file.read import read_torch_file

#: Parts of the names of tensors: fairseq's, and ours, which are Hugging Face's.
OUR_PARTS = (
    (re.compile(r"^(feature_extractor\.conv_layers\.\d+)\.0\."), r"\1.conv."),
    (re.compile(r"^(feature_extractor\.conv_layers\.\d+)\.2\."), r"\1.layer_norm."),
    (re.compile(r"^layer_norm\."), "feature_projection.layer_norm."),
    (re.compile(r"^post_extract_proj\."), "feature_projection.projection."),
    (re.compile(r"^encoder\.pos_conv\.0\."), "encoder.pos_conv_embed.conv."),
    (re.compile(r"\.self_attn\."), ".attention."),
    (re.compile(r"\.self_attn_layer_norm\."), ".layer_norm."),
    (re.compile(r"\.fc1\."), ".feed_forward.intermediate_dense."),
    (re.compile(r"\.fc2\."), ".feed_forward.output_dense."),
)
FAIRSEQ = "post_extract_proj.weight"
CONVOLUTION = "feature_extractor.conv_layers.{}.conv.{}"
LAYER = "encoder.layers.{}.feed_forward.intermediate_dense.weight"
TAPS = "encoder.pos_conv_embed.conv.weight_v"
PROJECTION = "feature_projection.projection.weight"
OUTPUT = "final_proj.weight"
HEAD_WIDTH, LEAST_HEADS = 64, 4  # of an encoder that does not say how many heads it has
MOST = 256  # layers that are looked for
DEEPEST = 8  # dictionaries inside dictionaries


def open_checkpoint(path: Path) -> Stored:
    """The encoder in a file: fairseq's dictionary (`model` with `cfg` or `args`), or its tensors by name.

    The tensors say how wide and deep it is; the settings beside them only what tensors cannot say.

    Raises:
        CheckpointError: the file is damaged or hostile, or holds something else.
    """
    content = read_torch_file(path)
    if not isinstance(content, Mapping):
        kind = content.kind if isinstance(content, Foreign) else type(content).__name__
        raise CheckpointError(f"{path}: holds a {kind}, not a content encoder")
    model = content.get("model")
    tensors = tensors_of(model if isinstance(model, Mapping) else content)
    if PROJECTION not in tensors or LAYER.format(0) not in tensors or TAPS not in tensors:
        raise CheckpointError(f"{path}: not a content encoder: it has no tensors of HuBERT; give hubert_base.pt")
    settings = settings_of(content)
    config, warnings = config_of(tensors, settings.get("model", {}), path)
    normalizes = settings.get("task", {}).get("normalize") is True
    return Stored(path, config, normalizes, partial(among, tensors), warnings)


def among(tensors: Mapping[str, Tensor], wanted: set[str]) -> Mapping[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name in wanted}


def tensors_of(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict under our names, whoever named them."""
    named = {our_name(key): value for key, value in content.items() if isinstance(key, str)}
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    if FAIRSEQ not in tensors:
        return tensors
    return {in_our_words(name): tensor for name, tensor in tensors.items()}


def in_our_words(name: str) -> str:
    for theirs, ours in OUR_PARTS:
        name = theirs.sub(ours, name)
    return name


def settings_of(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the file says beside its tensors: `cfg` by its sections, or, in older files, `args` for all of them."""
    config = plain(content.get("cfg"))
    if isinstance(config, dict):
        return {name: section for name, section in config.items() if isinstance(section, dict)}
    arguments = plain(content.get("args"))
    return {"model": arguments, "task": arguments} if isinstance(arguments, dict) else {}


def plain(value: Any, depth: int = 0) -> Any:
    """What an argparse or omegaconf object holds, without the object."""
    if depth > DEEPEST:
        return None
    if isinstance(value, Foreign):
        state = value.state if isinstance(value.state, dict) else {}
        inner = next((state[key] for key in ("_content", "_val") if key in state), state)
        return plain(inner, depth + 1)
    if isinstance(value, dict):
        return {key: plain(each, depth + 1) for key, each in value.items()}
    return value


def config_of(
    tensors: Mapping[str, Tensor], settings: Mapping[str, Any], path: Path
) -> tuple[HubertConfig, tuple[str, ...]]:
    """The dimensions of an encoder, and a warning if one of them is a guess."""
    if settings.get("layer_norm_first") is True:
        raise CheckpointError(
            f"{path}: norms before its layers (HuBERT large), which voxc does not have; give a base one"
        )
    convolutions = [tensors[name] for n in range(MOST) if (name := CONVOLUTION.format(n, "weight")) in tensors]
    shaped = [*convolutions, tensors[PROJECTION], tensors[LAYER.format(0)], tensors[TAPS]]
    if not convolutions or [tensor.dim() for tensor in shaped] != [*[3] * len(convolutions), 2, 2, 3]:
        raise CheckpointError(f"{path}: not a content encoder: its tensors have other dimensions than HuBERT's")
    width = tensors[PROJECTION].shape[0]
    heads, warnings = heads_of(width, settings, path)
    output = tensors.get(OUTPUT)
    try:
        return HubertConfig.model_validate(
            {
                "hidden_size": width,
                "num_hidden_layers": sum(LAYER.format(n) in tensors for n in range(MOST)),
                "num_attention_heads": heads,
                "intermediate_size": tensors[LAYER.format(0)].shape[0],
                "feat_extract_norm": "layer" if CONVOLUTION.format(1, "layer_norm.weight") in tensors else "group",
                "conv_dim": [tensor.shape[0] for tensor in convolutions],
                "conv_kernel": [tensor.shape[2] for tensor in convolutions],
                "conv_bias": CONVOLUTION.format(0, "bias") in tensors,
                "num_conv_pos_embeddings": tensors[TAPS].shape[2],
                "num_conv_pos_embedding_groups": width // max(1, tensors[TAPS].shape[1]),
                "classifier_proj_size": output.shape[0] if output is not None and output.dim() == 2 else 1,
            }
        ), warnings  # fmt: skip
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"])
        raise CheckpointError(f"{path}: {where + ': ' if where else ''}{detail['msg']}") from error


def heads_of(width: int, settings: Mapping[str, Any], path: Path) -> tuple[int, tuple[str, ...]]:
    """How many heads of attention there are, which no tensor says."""
    heads = settings.get("encoder_attention_heads")
    if isinstance(heads, int):
        return heads, ()
    usual = max(width // HEAD_WIDTH, LEAST_HEADS)
    if width in (768, 1024):  # HuBERT base and large
        return usual, ()
    return usual, (f"{path}: does not say how many attention heads it has; taken as {usual}",)
