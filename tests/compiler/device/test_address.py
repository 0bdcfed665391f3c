from __future__ import annotations

import pytest

from voxc.compiler.core.errors import RecipeError
from voxc.compiler.device.address import Address


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("ssh://pi@raspberrypi.local", ["-l", "pi", "--", "raspberrypi.local"]),
        ("ssh://Nano:2222", ["-p", "2222", "--", "Nano"]),
        ("ssh://me@[::1]:22/", ["-l", "me", "-p", "22", "--", "::1"]),
        ("ssh://[fe80::1%eth0]", ["--", "fe80::1%eth0"]),
    ],
)
def test_addresses(text: str, arguments: list[str]) -> None:
    assert Address.parse(text).arguments == arguments


@pytest.mark.parametrize(
    "text",
    ["pi@raspi", "http://raspi", "ssh://", "ssh://-oProxyCommand=x", "ssh://-x@raspi", "ssh://pi:secret@raspi",
     "ssh://raspi:port", "ssh://raspi/tmp", "ssh://ra spi", "ssh://raspi;ls", "ssh://pi@", "ssh://raspi:70000", "ssh://[raspi]"],
)  # fmt: skip
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(RecipeError, match="--on"):
        Address.parse(text)
