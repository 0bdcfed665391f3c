from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.compiler.networks.rmvpe.test_network import TINY
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.networks.rmvpe.file import FIRST, load_rmvpe
from voxc.compiler.networks.rmvpe.network import RmvpeNetwork


def state(**changes: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    return {**RmvpeNetwork(TINY).state_dict(), **changes}


@pytest.mark.parametrize("half", [False, True])
def test_a_bare_state_dict(tmp_path: Path, half: bool) -> None:
    saved = {name: each.half() if half and each.is_floating_point() else each for name, each in state().items()}
    torch.save(saved, tmp_path / "rmvpe.pt")
    network = load_rmvpe(tmp_path / "rmvpe.pt")
    assert network.network.config == TINY
    assert not network.training
    for name, tensor in network.network.state_dict().items():
        torch.testing.assert_close(tensor, saved[name].float())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"model": 1}, "not RMVPE, as it has no unet.encoder"),
        ([1, 2], "holds no tensors by name"),
        (state(**{FIRST: torch.zeros(500, 1, 3, 3)}), "channels: Input should be less than or equal to 256"),
        (state(**{"fc.1.bias": torch.zeros(3)}), r"fc.1.bias has shape \[3\]"),
        (state(**{"fc.1.bias": torch.full((360,), float("nan"))}), "NaN or infinite values in fc.1.bias"),
        ({name: each for name, each in state().items() if name != "fc.1.bias"}, "missing tensors: fc.1.bias"),
    ],
)
def test_what_is_no_rmvpe(tmp_path: Path, content: Any, complaint: str) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=f"other.pt: .*{complaint}"):
        load_rmvpe(tmp_path / "other.pt")
