from __future__ import annotations

from tests.compiler.device.conftest import bundle, hardware, kit, open_bundle, open_kit, user_cache

__all__ = ["bundle", "hardware", "kit", "open_bundle", "open_kit", "user_cache"]
