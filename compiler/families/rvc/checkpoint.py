"""Reads a checkpoint as RVC writes it, from anyone: nothing in the file is run, believed or allocated unseen."""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.weights import fill, some
from voxc.compiler.families.rvc.config import RvcConfig, parse_config
from voxc.compiler.families.rvc.synthesizer import Synthesizer, SynthesizerNoF0

MAX_FILE_BYTES = 8 << 30
MAX_INFO_CHARS = 200
# Everything torch.load has been seen to raise on damaged files.
UNREADABLE = (
    pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, OSError, EOFError, ValueError, KeyError, IndexError,
    TypeError, AttributeError, AssertionError, MemoryError, OverflowError, struct.error,
)  # fmt: skip
WEIGHT_NORM_NAMES = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}
TRAINING_ONLY = "enc_q."


@dataclass(frozen=True)
class RvcCheckpoint:
    """A loaded voice: its dimensions, its network in float32, and what the file says about itself."""

    config: RvcConfig
    network: Synthesizer
    info: str


def load_checkpoint(path: Path) -> RvcCheckpoint:
    """The voice in `path`.

    Raises:
        CheckpointError: the file is damaged, hostile, not RVC's, or has missing, misshapen or non-finite tensors.
    """
    content = read_pickle(path)
    weights = named_tensors(content, path)
    speakers = weights.get("emb_g.weight")
    if speakers is None or speakers.dim() != 2:
        raise CheckpointError(f"{path}: tensor emb_g.weight (the speakers) is missing or not a matrix")
    config = parse_config(
        content.get("config"),
        speakers=speakers.shape[0],
        version=content.get("version", "v1"),
        f0=content.get("f0", 1),
        path=path,
    )
    info = content.get("info")
    return RvcCheckpoint(
        config, build_network(config, weights, path), info[:MAX_INFO_CHARS] if isinstance(info, str) else ""
    )


def read_pickle(path: Path) -> Mapping[str, Any]:
    """What torch.save wrote, as tensors and plain containers only."""
    try:
        refuse_bombs(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols: it loads or it does not
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise CheckpointError(explain_unreadable(path, error)) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not an RVC voice")
    if "weight" not in content or "config" not in content:
        hint = ""
        if "model" in content:
            hint = (
                "; it looks like a training checkpoint (G_*.pth): extract the voice from it in RVC's `ckpt` tab first"
            )
        raise CheckpointError(f"{path}: not an RVC voice: it has no 'weight' and 'config'{hint}")
    return content


def refuse_bombs(path: Path) -> None:
    """torch.save stores its records uncompressed; a file that unpacks to more than itself is hostile."""
    if path.is_dir():
        raise CheckpointError(f"{path}: is a directory; an RVC voice is a .pth file")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise CheckpointError(f"{path}: {size} bytes; a voice has at most {MAX_FILE_BYTES}")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > size:
            raise CheckpointError(
                f"{path}: unpacks to {unpacked} bytes from {size}; torch.save never compresses: refused"
            )


def explain_unreadable(path: Path, error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{path}: {error.strerror or error}"
    if isinstance(error, pickle.UnpicklingError):
        code = unsafe_globals(path)
        if code:
            return f"{path}: refused, loading it would run code ({', '.join(code)}); a voice holds only tensors"
    detail = str(error).partition(". ")[0].partition("\n")[0] if isinstance(error, RuntimeError) else ""
    return f"{path}: damaged or not a PyTorch checkpoint{f' ({detail})' if detail else ''}"


def unsafe_globals(path: Path) -> list[str]:
    """Names of the Python objects that the pickle asks for; finding them runs nothing."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))[:5]
    except UNREADABLE:
        return []


def named_tensors(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The dense tensors under `weight` that inference needs, under one spelling of the weight norm."""
    weights = content["weight"]
    if not isinstance(weights, Mapping):
        raise CheckpointError(f"{path}: 'weight' must map names to tensors")
    tensors = {}
    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(f"{path}: 'weight' has an entry {name!r} that is not a tensor")
        if name.startswith(TRAINING_ONLY):
            continue
        if (
            tensor.layout != torch.strided
            or tensor.is_quantized
            or not tensor.dtype.is_floating_point
            or tensor.is_meta
        ):
            raise CheckpointError(f"{path}: tensor {name} must be a dense floating-point tensor")
        if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
            raise CheckpointError(f"{path}: tensor {name} claims more elements than the file holds")
        for theirs, ours in WEIGHT_NORM_NAMES.items():
            name = name.replace(theirs, ours)
        tensors[name] = tensor
    return tensors


def build_network(config: RvcConfig, weights: Mapping[str, Tensor], path: Path) -> Synthesizer:
    """The network with `weights` in it, in float32 and in evaluation mode."""
    with torch.device("meta"):
        network = (Synthesizer if config.f0 else SynthesizerNoF0)(config)
    unknown = sorted(weights.keys() - network.state_dict().keys())
    if unknown:
        raise CheckpointError(f"{path}: tensors that the config has no place for: {some(unknown)}")
    fill(network, weights, path)
    return network
