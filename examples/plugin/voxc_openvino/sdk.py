"""OpenVINO, imported without its telemetry.

`import openvino` reports itself to Intel through the package `openvino_telemetry`, which OpenVINO depends on, and does
without it where that cannot be imported.
"""

from __future__ import annotations

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # importing it now raises ImportError

import openvino  # noqa: E402

__all__ = ["openvino"]
