"""Runtimes that report on their use, and how they are kept from it."""

from __future__ import annotations

import os
from typing import Any


def silence() -> None:
    """Keeps ONNX Runtime from reporting, whoever imports it later.

    From its import on, it would keep a database below the user's cache and send events to its makers. The variable is
    read once, by that import, so a function that is called afterwards comes too late.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def import_onnxruntime() -> Any:
    """ONNX Runtime, which reports nothing."""
    silence()
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # releases that do not know the variable
    return onnxruntime
