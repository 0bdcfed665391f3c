"""The files of a Hugging Face directory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.json_file import read_json

CONFIG_NAME = "config.json"
PREPROCESSOR_NAME = "preprocessor_config.json"
#: The names of weights in the order of preference, in one file or in several that an index lists.
WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
INDEX_SUFFIX = ".index.json"
SNAPSHOTS, MAIN = "snapshots", Path("refs/main")  # of the Hugging Face Hub's cache
REVISION = re.compile("[0-9A-Za-z_.-]{1,64}")
MAX_SHARDS = 1000


def model_place(path: Path) -> Path:
    """Where a model is read from: a file that holds all of it, or the directory with its files. A model's folder in the
    Hub's cache (`models--owner--name`) stands for its snapshot, and a file of a directory for that.

    Raises:
        CheckpointError: there is no such place, or several snapshots and none of them is the main one.
    """
    if path.is_file():
        return path.parent if path.name in (CONFIG_NAME, *WEIGHTS_NAMES) else path
    if not path.is_dir():
        raise CheckpointError(
            f"{path}: no such file or directory; a content encoder is hubert_base.pt, or a Hugging Face directory with "
            f"{CONFIG_NAME}"
        )
    snapshots = path / SNAPSHOTS
    if (path / CONFIG_NAME).exists() or not snapshots.is_dir():
        return path
    try:
        revision = (path / MAIN).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        revision = ""
    if REVISION.fullmatch(revision) and revision.strip(".") and (snapshots / revision).is_dir():
        return snapshots / revision
    there = sorted(each for each in snapshots.iterdir() if each.is_dir())
    if len(there) != 1:
        raise CheckpointError(f"{path}: {len(there)} snapshots; give one of the directories in {snapshots}")
    return there[0]


def weight_files(place: Path) -> tuple[Path, ...]:
    """The files with the weights of a model, which is a file itself or a directory.

    Raises:
        CheckpointError: there are none, or their index is damaged or names files elsewhere.
    """
    if place.is_file():
        return (place,)
    for name in WEIGHTS_NAMES:
        if (place / name).is_file():
            return (place / name,)
        if (place / f"{name}{INDEX_SUFFIX}").is_file():
            return shards(place / f"{name}{INDEX_SUFFIX}")
    raise CheckpointError(f"{place}: no weights; there must be {' or '.join(WEIGHTS_NAMES)}")


def settings_files(place: Path) -> tuple[Path, ...]:
    """The files beside them that say how they are read."""
    return tuple(path for name in (CONFIG_NAME, PREPROCESSOR_NAME) if (path := place / name).is_file())


def roles(role: str, files: Sequence[Path]) -> dict[str, Path]:
    """Files by the role of the first, and numbered."""
    return {role if number == 1 else f"{role}-{number}": file for number, file in enumerate(files, 1)}


def shards(index: Path) -> tuple[Path, ...]:
    """The files that an index lists."""
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise CheckpointError(f"{index}: 'weight_map' must map tensors to files")
    files = sorted(set(names.values()))
    if len(files) > MAX_SHARDS:
        raise CheckpointError(f"{index}: lists {len(files)} files; at most {MAX_SHARDS} are read")
    for name in files:
        if Path(name).name != name or name.startswith("."):
            raise CheckpointError(f"{index}: lists {name!r}, which is not a file beside it")
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index.parent / name}: no such file, and {index.name} lists it; download it too")
    return tuple(index.parent / name for name in files)
