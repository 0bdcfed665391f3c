"""Makes the scripts of demo/training importable, which are no package."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "demo" / "training"))
