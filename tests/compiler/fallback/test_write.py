from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from tests.compiler.fallback.networks import CHANNELS, FRAMES, assert_as_eager, component, program, read
from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.core.target import Target
from voxc.compiler.fallback.write import write_fallback


@pytest.mark.parametrize("dynamic", [False, True])
def test_what_was_written_computes_the_same(target: Target, tmp_path: Path, dynamic: bool) -> None:
    made = component()
    exported = program(target, made, dynamic=dynamic)
    graph, _ = write_fallback(exported, tmp_path)
    fallback = read(graph, exported)
    for frames in (FRAMES, FRAMES + 3) if dynamic else (FRAMES,):
        inputs = made.reference_inputs({"T": frames}, seed=frames)
        expected = made.run({name: torch.from_numpy(array) for name, array in inputs.items()})
        assert_as_eager(fallback.run(inputs)["y"], expected["y"].numpy())


def test_shared_weights_are_there_once(target: Target, tmp_path: Path) -> None:
    _, weights = write_fallback(program(target), tmp_path)
    assert sorted(load_file(weights)) == ["first.bias", "second.bias", "second.weight"]


def test_who_may_read_one_file_may_read_the_other(target: Target, tmp_path: Path) -> None:
    graph, weights = write_fallback(program(target), tmp_path)
    assert weights.stat().st_mode == graph.stat().st_mode


def test_the_same_program_gives_the_same_bytes(target: Target, tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        written.append([file.read_bytes() for file in write_fallback(program(target), tmp_path / name)])
    assert written[0] == written[1]


def test_views_of_one_weight_are_told_apart(target: Target, tmp_path: Path) -> None:
    """They begin at the same address."""

    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            table = torch.randn(CHANNELS, CHANNELS)
            self.register_buffer("rows", table)
            self.register_buffer("columns", table.T)

        def forward(self, x: Tensor) -> Tensor:
            y = torch.matmul(self.rows, torch.matmul(self.columns, x)) + torch.randn_like(x)
            return y.repeat_interleave(2, dim=-1)

    made = component(Views())
    exported = program(target, made)
    graph, weights = write_fallback(exported, tmp_path)
    inputs = made.reference_inputs({"T": FRAMES})
    expected = made.run({name: torch.from_numpy(array) for name, array in inputs.items()})
    np.testing.assert_allclose(read(graph, exported).run(inputs)["y"], expected["y"].numpy(), atol=1e-6)
    assert sorted(load_file(weights)) == ["columns", "rows"]


def test_an_operator_that_is_not_listed_is_told_with_its_module(target: Target, tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.i0(x)

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd = Odd()

        def forward(self, x: Tensor) -> Tensor:
            return (self.odd(x) + torch.randn_like(x)).repeat_interleave(2, dim=-1)

    with pytest.raises(UnsupportedError, match=r"small: fallbacks have no aten.i0.default \(of odd\); leave out"):
        write_fallback(program(target, component(Holder())), tmp_path)
