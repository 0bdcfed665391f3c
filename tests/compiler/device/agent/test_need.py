from __future__ import annotations

import platform
import sys

import pytest

from voxc.compiler.core.device_errors import MissingError
from voxc.compiler.device.agent.need import need


def test_the_first_that_is_there() -> None:
    assert need(["no_such_package", "json.decoder", "json"], "pip install x").__name__ == "json.decoder"


def test_the_first_name_is_missed() -> None:
    with pytest.raises(MissingError) as caught:
        need(["no_such_package.part", "neither_this"], "pip install such")
    assert str(caught.value) == (
        f"no_such_package cannot be imported by {sys.executable}, Python {platform.python_version()} "
        f"(No module named 'no_such_package'); install it with pip install such"
    )
