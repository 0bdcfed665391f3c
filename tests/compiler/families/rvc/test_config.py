from __future__ import annotations

from typing import Any

import pytest

from tests.voices import TINY
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.rvc.config import FIELDS, RvcConfig, parse_config


def parse(values: Any = None, **changes: Any) -> RvcConfig:
    values = list(TINY) if values is None else values
    for name, value in changes.items():
        values[FIELDS.index(name)] = value
    return parse_config(values, speakers=2, version="v2", f0=1, path="voice.pth")


def test_values_get_their_names() -> None:
    config = parse()
    assert (config.hop, config.content_features, config.speakers, config.sample_rate) == (40, 768, 2, 4000)


@pytest.mark.parametrize("rate", ["40k", 40000])
def test_sample_rate_may_be_a_name(rate: object) -> None:
    assert parse(sample_rate=rate).sample_rate == 40000


def test_resblock_may_be_a_number() -> None:
    assert parse(resblock=2).resblock == "2"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"n_heads": 3}, "3 heads do not divide 4"),
        ({"inter_channels": 3}, "inter_channels"),
        ({"n_layers": 10**9}, "n_layers"),
        ({"upsample_rates": [10]}, "differ in length"),
        ({"upsample_kernel_sizes": [15, 8]}, "does not upsample by 10"),
        ({"upsample_initial_channel": 2}, "cannot be halved"),
        ({"resblock": "3"}, "resblock"),
        ({"resblock_kernel_sizes": [4]}, "even resblock kernel"),
        ({"resblock_dilation_sizes": [[1], [3]]}, "differ in length"),
        ({"sample_rate": "16k"}, "sample_rate"),
        ({"hidden_channels": "wide"}, "hidden_channels"),
        ({"upsample_rates": []}, "upsample_rates"),
    ],
)
def test_impossible_values_are_named(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        parse(**changes)


@pytest.mark.parametrize("values", [None, "config", list(TINY[:17]), {"sr": 1}])
def test_anything_but_18_values_is_refused(values: Any) -> None:
    with pytest.raises(CheckpointError, match="18 values"):
        parse_config(values, speakers=2, version="v2", f0=1, path="voice.pth")


def test_unknown_version_is_refused() -> None:
    with pytest.raises(CheckpointError, match="version"):
        parse_config(TINY, speakers=2, version="v3", f0=1, path="voice.pth")
