"""Applio's voices, with each of its vocoders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from voxc.compiler.audio.seeded_noise import NoiseInput
from voxc.compiler.core.component import Component
from voxc.compiler.core.target import load_targets
from voxc.compiler.driver import compile_model
from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.request import Request


def draws(vectors: Path) -> list[Tensor]:
    """The normal draws of a reference, in order: stored, or a rule that has them from one sequence."""
    with safe_open(vectors, "pt") as file:
        about, names = file.metadata(), set(file.keys())
        kinds, shapes = json.loads(about["noise_kinds"]), json.loads(about.get("noise_shapes", "[]"))
        if "noise/base_normal" not in names:
            every = [file.get_tensor(f"noise/{number}") for number in range(len(kinds))]
        else:
            base = file.get_tensor("noise/base_normal").float()
            places = [torch.arange(torch.Size(shape).numel()) + 977 * number for number, shape in enumerate(shapes)]
            every = [base[place % len(base)].reshape(shape) for place, shape in zip(places, shapes, strict=True)]
    return [draw.float() if kind != "rand" else normal(draw) for draw, kind in zip(every, kinds, strict=True)]


def normal(uniform: Tensor) -> Tensor:
    """What a uniform draw is made of: the phases of all harmonics but the first, which is none."""
    turns = 2 * torch.pi * uniform.double()[:, 1:]
    return torch.stack([turns.cos(), turns.sin()], dim=1).float()


def reference(folder: Path, name: str) -> tuple[Component, dict[str, Tensor], Tensor]:
    vectors = {
        name: array.float() if array.is_floating_point() else array
        for name, array in load_file(folder / f"{name}.safetensors").items()
    }
    (component,) = load_voice(VoiceFiles(folder / f"{name}.pth")).components
    named = {"nsff0": "pitchf"}
    tensors = {spec.name: vectors[f"input/{named.get(spec.name, spec.name)}"] for spec in component.inputs}
    drawn = [draw for draw in draws(folder / f"{name}.safetensors") if draw.numel()]
    tensors |= {spec.name: draw for spec, draw in zip(component.noise, drawn, strict=True)}
    return component, tensors, vectors["output/audio"]


def test_golden_vectors(golden: Path, subtests: pytest.Subtests) -> None:
    for path in sorted((golden / "applio").glob("*.pth")):
        with subtests.test(path.stem):
            component, tensors, expected = reference(path.parent, path.stem)
            torch.testing.assert_close(component.run(tensors)["audio"], expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", ["mrf_40k", pytest.param("refinegan_32k", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "target",
    ["onnxruntime-cpu"]
    + [
        pytest.param(each, marks=pytest.mark.slow)
        for each in ("tflite-float32", "apple-ane", "apple-mlx", "jetson-nano")
    ],
)
def test_they_compile(golden: Path, tmp_path: Path, name: str, target: str) -> None:
    """Within the bound that the backend has in its precision; else the compile fails."""
    request = Request(
        golden / "applio" / f"{name}.pth", (load_targets()[target],), tmp_path / "b", frames=20, measure=False
    )
    ((_, manifest),) = compile_model(request)
    assert manifest.status == "passed"


def test_draws_of_windows_agree(golden: Path) -> None:
    """Every draw but that of first phases is a function of the place in the recording."""
    for name in ("mrf_40k", "refinegan_32k"):
        (component,) = load_voice(VoiceFiles(golden / "applio" / f"{name}.pth")).components
        for spec in component.noise:
            noise = NoiseInput.of(spec, 32)
            one, other = noise.draw(7, 1, 0, 32), noise.draw(7, 1, 16, 32)
            assert one.shape == other.shape == spec.bound_shape({"T": 32})
            if noise.axis is None:
                assert (one == other).all()
            else:
                half = one.shape[noise.axis] // 2
                first, last = np.split(one, 2, noise.axis)[1], np.split(other, 2, noise.axis)[0]
                assert first.shape[noise.axis] == half
                np.testing.assert_array_equal(first, last)
