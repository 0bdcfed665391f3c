from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SHARED


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real speech, which lives beside the checkout."""
    folder = SHARED / "audio"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}")
    return folder
