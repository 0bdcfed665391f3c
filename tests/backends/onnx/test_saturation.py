"""Integers that no kernel of ONNX Runtime can saturate, so that a bundle sounds the same on every CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.backends.onnx.saturation import IntegerLayer, integer_layers, saturating_product
from tests.backends.onnx.test_quantization import BLOCKS, quantized
from tests.passes.harness import component_of
from voxc.backends.onnx.emitter import emit
from voxc.compiler.core.component import Component
from voxc.compiler.core.target import Target, load_targets

TARGETS = [target for target in load_targets().values() if target.backend == "onnxruntime" and target.scheme]


class Loud(nn.Module):
    """Weights of one sign and size, which is what saturates first: convolutions with an odd number of channels, with
    groups and with several taps, and a product of matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.taps = nn.Conv1d(1, 6, 5, padding=2)
        self.odd = nn.Conv1d(6, 9, 3, padding=1)
        self.groups = nn.Conv1d(9, 6, 2, groups=3)
        self.product, self.last = nn.Linear(6, 4), nn.Linear(4, 1)
        for place, parameter in enumerate(self.parameters()):
            torch.nn.init.constant_(parameter, 0.1 * (-1) ** (place // 2))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.groups(torch.relu(self.odd(torch.relu(self.taps(x))))))
        return torch.tanh(self.last(torch.relu(self.product(x.transpose(1, 2).flatten(0, 1)))))


class Alternating(nn.Module):
    """Neighbouring weights of opposite signs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv1d(1, 8, 2), nn.Conv1d(8, 1, 1)
        self.first.weight.data[:] = torch.tensor([0.1, -0.1])

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.last(torch.relu(self.first(x))))


LOUD = component_of(Loud(), (1, 1, 32))
NETWORKS = {"blocks": BLOCKS, "loud": LOUD}


def layers_of(component: Component, target: Target, directory: Path) -> list[IntegerLayer]:
    (file,) = emit(quantized(component, target, "int8"), 20, directory / "y.onnx")
    return list(integer_layers(file))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("name", NETWORKS)
def test_no_layer_can_saturate(target: Target, tmp_path: Path, name: str) -> None:
    layers = layers_of(NETWORKS[name], target, tmp_path)
    assert len(layers) == {"blocks": 5, "loud": 4}[name]
    assert not [layer.name for layer in layers if layer.saturates(layer.worst)]


def test_without_a_limit_layers_saturate(target: Target, tmp_path: Path) -> None:
    assert target.scheme is not None
    unlimited = target.model_copy(update={"scheme": target.scheme.model_copy(update={"pair_limit": None})})
    layers = layers_of(LOUD, unlimited, tmp_path)
    assert all(layer.saturates(layer.worst) for layer in layers)


def test_weights_stay_as_fine_as_the_limit_allows(target: Target, tmp_path: Path) -> None:
    """Weights of one sign reach 64, which two of them may; a lone one, or one beside another sign, reaches 127."""
    (taps, odd, groups, product) = (layer.rows for layer in layers_of(LOUD, target, tmp_path))
    assert {abs(rows).max() for rows in (taps, odd, groups, product)} == {64}
    (layer,) = layers_of(component_of(Alternating(), (1, 1, 32)), target, tmp_path)
    assert abs(layer.rows).max() == 127


def test_the_emulation_saturates_as_the_instruction_does() -> None:
    """256 products of 255 and 127, as an AVX2-only CPU adds them up, and as they are."""
    loud = IntegerLayer("", np.full((1, 256), 127, np.int8))
    activations = np.full((1, 256), 255, np.uint8)
    assert saturating_product(activations, loud.rows) == 128 * 32767
    assert loud.saturates(activations)
    assert not IntegerLayer("", np.full((1, 256), 64, np.int8)).saturates(activations)
