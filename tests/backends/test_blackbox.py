"""Every backend on the same small networks: what it emits computes what PyTorch computes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.passes.harness import FRAMES, component_of
from voxc.backends import BACKENDS, find_backend
from voxc.compiler.core.errors import TargetError
from voxc.compiler.core.program import export
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.networks.recurrent import BidirectionalGru
from voxc.passes.layout.planar_convolutions import PlanarConvolutions
from voxc.passes.simplify.clean_up import CleanUp
from voxc.passes.simplify.unroll_recurrent import UnrollRecurrent

ONE_TARGET_EACH = {target.backend: target for target in reversed(load_targets().values())}


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.plain = nn.Conv1d(3, 4, 5, padding=2, dilation=1)
        self.dilated = nn.Conv1d(4, 4, 3, padding=3, dilation=3, groups=2)
        self.up = nn.ConvTranspose1d(4, 2, 6, stride=2, padding=2)
        self.strided = nn.Conv1d(2, 3, 4, stride=2, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.strided(self.up(F.leaky_relu(self.dilated(F.relu(self.plain(x))), 0.1)))


class Convolution2d(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 3, (3, 5), stride=(2, 1), padding=(1, 2))
        self.up = nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.conv(x.unsqueeze(1)))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        width = x.shape[-1]
        query, key, value = self.qkv(self.norm(x)).split(width, -1)
        weights = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(width), -1)
        return F.pad(weights @ value, (1, 2, 0, 1), value=0.5)


class Elementwise(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        z = torch.tanh(x) * torch.sigmoid(y) + torch.exp(-x.abs()) - torch.sin(x) / (y.abs() + 1.5)
        z = torch.where(x > 0.2, z, torch.cos(y)) + (x**2).clamp(0.1, 2.0).sqrt() + torch.log(y.abs() + 1)
        return z % 0.7 + torch.floor(y) + (x < y).float() + torch.remainder(-x.abs(), 1.0)


class Normalisation(nn.Module):
    """GELU and group norm: a group for each channel, and groups of several."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.each = nn.GroupNorm(4, 4)
        self.pairs = nn.GroupNorm(2, 4)
        for norm in (self.each, self.pairs):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.pairs(F.gelu(self.each(x)) + x)


class Shapes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        batch, width, length = x.shape
        held = x[:, 0].unsqueeze(-1).expand(batch, length, 3).reshape(batch, length * 3)
        first, second = torch.split(x, [1, width - 1], 1)
        joined = torch.cat([second.transpose(1, 2), first.permute(0, 2, 1)], -1).flip(2)
        return torch.cumsum(joined.reshape(batch, -1) * 2, 1) + held[:, : length * width]


class Lookup(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.table((x.abs() * 2).to(torch.int64).clamp(0, 4))


class PassThrough(nn.Module):
    """An output that is an input, under another name."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


NETWORKS = {
    "convolutions": (Convolutions(), [(1, 3, "T")]),
    "convolutions of rank 2": (Convolution2d(), [(1, 8, "T")]),
    "attention": (Attention(), [(1, "T", 8)]),
    "elementwise": (Elementwise(), [(1, 4, "T"), (1, 4, "T")]),
    "normalisation": (Normalisation(), [(1, 4, "T")]),
    "recurrent": (BidirectionalGru(3, 4, 2), [(2, "T", 3)]),
    "shapes": (Shapes(), [(1, 3, "T")]),
    "lookup": (Lookup(), [(1, "T")]),
    "passing through": (PassThrough(), [(1, "T")]),
}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_emitted_computes_the_same(tmp_path: Path, backend: str, network: str, dynamic: bool) -> None:
    target = ONE_TARGET_EACH[backend]
    if dynamic and target.segments != "any":
        pytest.skip(f"{target.name} has no symbolic lengths")
    if dynamic and network == "recurrent" and not target.recurrent:
        pytest.skip(f"{target.name} has no recurrent layers, and they are written out for one length")
    assert_same(target, network, dynamic, tmp_path)


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
@pytest.mark.parametrize("network", NETWORKS)
def test_onnx_opsets(tmp_path: Path, target: Target, network: str, opset: int) -> None:
    assert_same(target.model_copy(update={"opset": opset}), network, True, tmp_path)


def assert_same(target: Target, network: str, dynamic: bool, directory: Path) -> None:
    module, shapes = NETWORKS[network]
    component = component_of(module, *shapes)
    program = UnrollRecurrent()(export(component, {"T": FRAMES}, dynamic), target).program
    program = CleanUp()(program, target).program
    program = PlanarConvolutions()(program, target).program
    backend = find_backend(target.backend)
    backend.check(program, target)
    artifact = backend.emit(program, target, directory)
    runner = backend.load(artifact.files[0], threads=1)
    for frames in (FRAMES, FRAMES + 8) if dynamic else (FRAMES,):
        inputs = component.reference_inputs({"T": frames})
        (expected,) = component.run({name: torch.from_numpy(array) for name, array in inputs.items()}).values()
        found = runner.run(inputs)
        assert list(found) == ["y"]
        torch.testing.assert_close(torch.from_numpy(found["y"]), expected, atol=1e-5, rtol=1e-5)


def test_every_target_has_a_backend() -> None:
    assert {target.backend for target in load_targets().values()} == set(BACKENDS)


def test_an_unknown_backend_is_an_error() -> None:
    with pytest.raises(TargetError, match="no backend is called 'abacus'"):
        find_backend("abacus")
