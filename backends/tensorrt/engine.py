"""Engines, where TensorRT and a GPU are: built as the agent builds them on a board, and run.

What only such a machine can show is listed in docs/measurements/tensorrt.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from voxc.backends.tensorrt.calibration_cache import cache_file
from voxc.backends.tensorrt.device.bound import Bound
from voxc.backends.tensorrt.device.builder import Builder
from voxc.backends.tensorrt.device.design import ENGINE, IDENTITY, Design
from voxc.backends.tensorrt.device.timings import timings_file
from voxc.backends.tensorrt.packed import SCRATCH, packed_beside
from voxc.backends.tensorrt.precisions import precisions_file, read_precisions
from voxc.compiler.core import device_errors
from voxc.compiler.core.errors import BundleError, CompileError, MissingRuntimeError, TensorError, VoxcError
from voxc.compiler.core.runner import Held, Runner
from voxc.compiler.core.tensor import Array

DEVICE = torch.device("cuda")
#: Errors of the code for devices as errors of voxc, where nothing else is said.
ERRORS: dict[str, type[VoxcError]] = {
    device_errors.BundleError.kind: BundleError,
    device_errors.MissingError.kind: MissingRuntimeError,
}


class Identity(BaseModel):
    """Where an engine was built: it runs nowhere else. The agent writes more of it, which is for the agent."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tensorrt: str
    gpu: str
    compute_capability: str

    @classmethod
    def here(cls) -> Identity:
        import tensorrt

        major, minor = torch.cuda.get_device_capability()
        gpu = torch.cuda.get_device_name()
        return cls(tensorrt=tensorrt.__version__, gpu=gpu, compute_capability=f"{major}.{minor}")

    def check(self, other: Identity, file: Path) -> None:
        """Raises BundleError if an engine of `other` is not one for here."""
        if self != other:
            there, here = (
                f"TensorRT {each.tensorrt}, {each.gpu} ({each.compute_capability})" for each in (other, self)
            )
            raise BundleError(f"{file}: built for {there}; this machine has {here}; compile the voice again here")


@contextmanager
def complaints(otherwise: type[VoxcError]) -> Iterator[None]:
    """Turns the errors of the code for devices, and of the GPU, into errors of voxc."""
    try:
        yield
    except device_errors.AgentError as error:
        raise ERRORS.get(error.kind, otherwise)(str(error)) from error
    except torch.OutOfMemoryError as error:
        raise MissingRuntimeError(f"the GPU has too little memory left: {str(error).partition('. ')[0]}") from error


def builder_here() -> Builder:
    import tensorrt

    identity = Identity.here().model_dump()
    with complaints(MissingRuntimeError):
        return Builder(tensorrt, identity, timings_file(identity))


def build(builder: Builder, file: Path) -> bytes:
    """A serialized engine of an ONNX file, by the recipe and perhaps the calibration cache that lie beside it.

    Raises:
        CompileError: TensorRT refused the file or could not build it, in its own words.
        BundleError: what lies beside it is not what it should be.
    """
    recipe, cache = read_precisions(precisions_file(file)), cache_file(file)
    scales = cache.read_bytes() if cache.exists() else None
    design = Design(file, recipe.model_dump(), scales, packed_beside(file), SCRATCH)
    free, _ = torch.cuda.mem_get_info()
    with complaints(CompileError):
        return bytes(builder.build(design, builder.workspace(free), lambda message: None))


def write(file: Path) -> tuple[Path, Path]:
    """Builds the engine of an ONNX file for this machine, beside it."""
    engine = build(builder_here(), file)
    engine_file, identity_file = file.with_suffix(ENGINE), file.with_suffix(IDENTITY)
    engine_file.write_bytes(engine)
    identity_file.write_text(Identity.here().model_dump_json(indent=1) + "\n", encoding="utf-8")
    return engine_file, identity_file


def read_identity(file: Path) -> Identity:
    """Raises BundleError if the file does not say where its engine was built."""
    try:
        return Identity.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleError(f"{file}: does not say where its engine was built") from error


@dataclass(frozen=True)
class OnGpu(Held):
    """A tensor in the GPU's memory."""

    tensor: torch.Tensor

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.tensor.cpu().numpy(), dtype)


@dataclass
class EngineRunner(Runner):
    """An engine with a stream of its own on `device`, and a buffer for the most that each input may be.

    Outputs get memory of their own each time, so that they may stay on the device; what another runner has left there
    is read where it is.
    """

    bound: Bound
    device: torch.device
    stream: Any

    def __post_init__(self) -> None:
        with complaints(BundleError):
            self.buffers = {name: self.empty(name) for name in self.bound.least}

    @classmethod
    def of(cls, file: Path) -> EngineRunner:
        """The engine beside an ONNX file, or one that is built now.

        Raises:
            BundleError: the engine is for another machine, or TensorRT does not read it.
            CompileError: none could be built.
            MissingRuntimeError: the GPU has no room for it.
        """
        builder, engine_file = builder_here(), file.with_suffix(ENGINE)
        if engine_file.exists():
            Identity.here().check(read_identity(file.with_suffix(IDENTITY)), engine_file)
            plan = engine_file.read_bytes()
        else:
            plan = build(builder, file)
        with complaints(BundleError):
            bound = Bound(builder, builder.read(plan, engine_file))
        return cls(bound, DEVICE, torch.cuda.Stream())  # type: ignore[no-untyped-call]

    def dtype(self, name: str) -> torch.dtype:
        dtype = getattr(torch, self.bound.dtype(name))
        assert isinstance(dtype, torch.dtype)
        return dtype

    def empty(self, name: str) -> torch.Tensor:
        """Memory for a tensor of the shape that it has now."""
        return torch.empty(self.bound.shape(name), dtype=self.dtype(name), device=self.device)

    def in_order(self) -> AbstractContextManager[object]:
        """Within it, what is copied and what is allocated comes in the stream's order."""
        return torch.cuda.stream(self.stream) if self.device.type == "cuda" else nullcontext()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {name: np.asarray(value) for name, value in self.hand_on(inputs).items()}

    def hand_on(self, inputs: Mapping[str, Array | Held]) -> dict[str, Held]:
        missing = [name for name in self.bound.least if name not in inputs]
        if missing:
            raise TensorError(f"the engine also takes {', '.join(missing)}")
        with complaints(TensorError), self.in_order():
            tensors = {name: self.readable(name, inputs[name]) for name in self.bound.least}
            outputs = {name: self.empty(name) for name in self.bound.outputs}
            for name, tensor in {**tensors, **outputs}.items():
                self.bound.place(name, tensor.data_ptr())
            self.bound.run(self.stream.cuda_stream)
            self.stream.synchronize()
        return {name: OnGpu(tensor) for name, tensor in outputs.items()}

    def readable(self, name: str, value: Array | Held) -> torch.Tensor:
        """An input where the engine can read it, which is where it is if it is on the device and of the right type."""
        if isinstance(value, OnGpu):
            tensor = value.tensor
        else:
            tensor = torch.from_numpy(np.require(value, requirements=["C", "W"]))
        try:
            self.bound.fit(name, tuple(tensor.shape))
        except device_errors.BundleError as error:
            raise TensorError(str(error)) from error
        buffer = self.buffers[name]
        if isinstance(value, OnGpu) and tensor.dtype == buffer.dtype and tensor.is_contiguous():
            return tensor
        if not buffer.dtype.is_floating_point and (tensor.to(buffer.dtype) != tensor).any():
            raise TensorError(f"{name}: the engine takes {self.bound.dtype(name)}, too narrow for these numbers")
        return buffer.flatten()[: tensor.numel()].view(tensor.shape).copy_(tensor)
