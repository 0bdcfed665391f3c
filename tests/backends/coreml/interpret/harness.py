"""Makes packages of single operations with coremltools' builder, and runs them in the interpreter."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

if find_spec("coremltools") is None:
    pytest.skip("coremltools is not installed", allow_module_level=True)

from voxc.backends.coreml.interpreter import Interpreter
from voxc.backends.coreml.sdk import ct, mb, quiet, types
from voxc.compiler.core.tensor import Array

#: A few examples each: what is tried are the attributes, and each example writes a package.
few = settings(max_examples=12, deadline=None)
seeds = st.integers(0, 2**16)
DTYPES = {"float32": types.fp32, "float16": types.fp16, "int32": types.int32}
#: The spacing of float16 at 1.
STEP = 2.0**-10


def save(build: Callable[..., Any], arrays: Sequence[Tensor], folder: Path, opset: str = "iOS17") -> Path:
    """A package of what `build` makes of values a, b, c... like `arrays`; its results are y0, y1... if there are more
    than one, else y.
    """
    names = "abcdefgh"[: len(arrays)]
    specs = [mb.TensorSpec(tuple(array.shape), DTYPES[str(array.dtype).removeprefix("torch.")]) for array in arrays]
    # The builder names a program's inputs after the parameters of the function that makes it.
    made = eval(f"lambda {', '.join(names)}: build({', '.join(names)})", {"build": build})  # noqa: S307
    with quiet():
        program = mb.program(input_specs=specs, opset_version=ct.target[opset])(made)
    results = program.functions["main"].outputs
    for place, result in enumerate(results):
        result.name = f"y{place}" if len(results) > 1 else "y"
    return save_program(program, folder, opset)


def save_program(program: Any, folder: Path, opset: str) -> Path:
    with quiet(), mock.patch.object(gc, "collect"):  # which coremltools calls each time, and which is slow
        model = ct.convert(
            program,
            convert_to="mlprogram",
            pass_pipeline=ct.PassPipeline.EMPTY,
            minimum_deployment_target=ct.target[opset],
            skip_model_load=True,
        )
        package = folder / "test.mlpackage"
        model.save(str(package))
    return package


def run_program(program: Any, inputs: dict[str, Tensor], opset: str) -> dict[str, Array]:
    with tempfile.TemporaryDirectory() as folder:
        runner = Interpreter(save_program(program, Path(folder), opset), 1)
        return runner.run({name: tensor.numpy() for name, tensor in inputs.items()})


def evaluate(build: Callable[..., Any], *arrays: Tensor, opset: str = "iOS17") -> list[Tensor]:
    """What the interpreter gives for the package of `build`."""
    with tempfile.TemporaryDirectory() as folder:
        package = save(build, arrays, Path(folder), opset)
        inputs = {name: array.numpy() for name, array in zip("abcdefgh", arrays, strict=False)}
        return [torch.from_numpy(result) for result in Interpreter(package, 1).run(inputs).values()]


def check(
    build: Callable[..., Any],
    expected: Tensor | Sequence[Tensor],
    *arrays: Tensor,
    opset: str = "iOS17",
    tolerance: float = 1e-5,
) -> None:
    """Compares the package of `build` with what torch gives, at the same shapes and dtypes."""
    wanted = [expected] if isinstance(expected, Tensor) else list(expected)
    found = evaluate(build, *arrays, opset=opset)
    assert len(found) == len(wanted)
    for have, want in zip(found, wanted, strict=True):
        assert (have.dtype, have.shape) == (want.dtype, want.shape)
        assert torch.allclose(have.double(), want.double(), rtol=tolerance, atol=tolerance, equal_nan=True), (
            f"off by {(have.double() - want.double()).abs().max():.3g}"
        )


def rounded(x: Tensor) -> Tensor:
    """To float16 and back."""
    return x.half().float()


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def integers(seed: int, low: int, high: int, *shape: int) -> Tensor:
    """From `low` to `high`, which is left out."""
    values = torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))
    return values.to(torch.int32)
