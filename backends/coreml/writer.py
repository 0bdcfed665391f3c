"""A package on disk: a folder with the program's protobuf, its weights, and a manifest that names both."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

AUTHOR = "com.apple.CoreML"
MODEL = f"{AUTHOR}/model.mlmodel"
WEIGHTS = f"{AUTHOR}/weights"
VERSION = "1.0.0"


def write_package(package: Path, make: Callable[[Path], Any]) -> tuple[Path, ...]:
    """Writes what `make` gives, a protobuf message, for which it writes weights into the folder that it is given; gives
    the package's files, the manifest first.

    Equal programs give equal bytes: the manifest's identifiers are made from paths, not drawn.
    """
    weights = package / "Data" / WEIGHTS
    weights.mkdir(parents=True)
    model = package / "Data" / MODEL
    model.write_bytes(make(weights).SerializeToString(deterministic=True))
    items = {MODEL: "CoreML Model Specification"}
    if any(weights.iterdir()):
        items[WEIGHTS] = "CoreML Model Weights"
    entries = {
        identifier(path): {"author": AUTHOR, "description": told, "name": Path(path).name, "path": path}
        for path, told in items.items()
    }
    document = {"fileFormatVersion": VERSION, "itemInfoEntries": entries, "rootModelIdentifier": identifier(MODEL)}
    manifest = package / "Manifest.json"
    manifest.write_text(json.dumps(document, indent=4, sort_keys=True) + "\n", encoding="utf-8")
    return manifest, model, *sorted(weights.iterdir())


def identifier(path: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, path)).upper()
