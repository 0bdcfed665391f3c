"""Files of settings from anyone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from voxc.compiler.core.errors import CheckpointError

MAX_JSON_BYTES = 4 << 20


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, which may begin with a byte order mark.

    Raises:
        CheckpointError: it cannot be read, is too large, or holds something else.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{path}: larger than {MAX_JSON_BYTES >> 20} MiB")
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: must hold a JSON object")
    return document
