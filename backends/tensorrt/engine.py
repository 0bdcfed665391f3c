"""Engines, where TensorRT and a GPU are: built from a kit's ONNX file and recipe, and run.

What only such a machine can show is listed in docs/tensorrt.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from voxc.backends.base import Runner
from voxc.backends.tensorrt.precisions import Precisions, precisions_file, read_precisions
from voxc.compiler.errors import BundleError, CompileError, TensorError
from voxc.compiler.tensor import Array

ENGINE, IDENTITY = ".engine", ".engine.json"
#: What the builder may use to try kernels in, of the memory that is free.
WORKSPACE_SHARE = 0.5
#: Timings of kernels that builds in this process share, by TensorRT's version and the GPU.
TIMINGS: dict[tuple[str, str], bytes] = {}


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


def build(file: Path, recipe: Precisions, workspace: int) -> bytes:
    """A serialized engine of an ONNX file by its recipe; `workspace` in bytes.

    Raises:
        CompileError: TensorRT refused the file or could not build it, in its own words.
    """
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)  # some day there is nothing else
    network = builder.create_network(0 if explicit is None else 1 << int(explicit))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(file)):
        told = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise CompileError(f"{file}: TensorRT {trt.__version__} refuses it: {told}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    set_flags(trt, config, recipe)
    constrain(trt, network, recipe)
    key = (trt.__version__, torch.cuda.get_device_name())
    cache = config.create_timing_cache(TIMINGS.get(key, b""))
    config.set_timing_cache(cache, ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise CompileError(f"{file}: TensorRT {trt.__version__} could not build an engine of it")
    TIMINGS[key] = bytes(config.get_timing_cache().serialize())
    return bytes(engine)


def set_flags(trt: Any, config: Any, recipe: Precisions) -> None:
    """What kernels may compute in; that float32 is float32; and that constraints are more than wishes."""
    for precision, flag in (("fp16", trt.BuilderFlag.FP16), ("int8", trt.BuilderFlag.INT8)):
        if precision in recipe.uses:
            config.set_flag(flag)
    if not recipe.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)


def constrain(trt: Any, network: Any, recipe: Precisions) -> list[str]:
    """Holds the layers to float32 that the recipe holds to it; gives their names. The others may take what is fastest.

    Layers that make no floats, or that are the rounding itself, have no such choice.
    """
    kinds = (trt.LayerType.CONSTANT, trt.LayerType.SHAPE, trt.LayerType.QUANTIZE, trt.LayerType.DEQUANTIZE)
    floats = (trt.float32, trt.float16)
    held = []
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        outputs = [layer.get_output(place) for place in range(layer.num_outputs)]
        if layer.type in kinds or any(output.dtype not in floats for output in outputs):
            continue
        if recipe.arithmetic(layer.name) == "fp32" and "fp16" in recipe.uses:
            layer.precision = trt.float32
            for place in range(layer.num_outputs):
                layer.set_output_type(place, trt.float32)
            held.append(layer.name)
    return held


def write(file: Path) -> tuple[Path, Path]:
    """Builds the engine of an ONNX file for this machine, beside it."""
    free, _ = torch.cuda.mem_get_info()
    engine = build(file, read_precisions(precisions_file(file)), int(free * WORKSPACE_SHARE))
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


@dataclass
class EngineRunner(Runner):
    """An engine with its own buffers and stream on `device`; inputs are copied in, outputs out."""

    engine: Any
    context: Any
    buffers: dict[str, torch.Tensor]
    outputs: list[str]
    stream: Any

    @classmethod
    def of(cls, file: Path) -> EngineRunner:
        """The engine beside an ONNX file, or one that is built now.

        Raises:
            BundleError: the engine is for another machine, or TensorRT does not read it.
        """
        import tensorrt as trt

        engine_file = file.with_suffix(ENGINE)
        if engine_file.exists():
            Identity.here().check(read_identity(file.with_suffix(IDENTITY)), engine_file)
            serialized = engine_file.read_bytes()
        else:
            free, _ = torch.cuda.mem_get_info()
            serialized = build(file, read_precisions(precisions_file(file)), int(free * WORKSPACE_SHARE))
        engine = trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(serialized)
        if engine is None:
            raise BundleError(f"{engine_file}: TensorRT {trt.__version__} does not read it")
        return cls.prepared(trt, engine, torch.device("cuda"), torch.cuda.Stream())  # type: ignore[no-untyped-call]

    @classmethod
    def prepared(cls, trt: Any, engine: Any, device: torch.device, stream: Any) -> EngineRunner:
        """One buffer for each tensor that goes in or out, whose addresses the context keeps."""
        dtypes = {trt.float32: torch.float32, trt.float16: torch.float16, trt.int32: torch.int32}
        if hasattr(trt, "int64"):
            dtypes[trt.int64] = torch.int64
        context = engine.create_execution_context()
        buffers, outputs = {}, []
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            shape, dtype = tuple(engine.get_tensor_shape(name)), dtypes[engine.get_tensor_dtype(name)]
            buffers[name] = torch.empty(shape, dtype=dtype, device=device)
            context.set_tensor_address(name, buffers[name].data_ptr())
            if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT:
                outputs.append(name)
        return cls(engine, context, buffers, outputs, stream)

    def in_order(self, buffer: torch.Tensor) -> AbstractContextManager[object]:
        """Within it, what is copied into a buffer comes before what the engine does."""
        return torch.cuda.stream(self.stream) if buffer.is_cuda else nullcontext()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        for name, array in inputs.items():
            buffer = self.buffers.get(name)
            if buffer is None or tuple(array.shape) != tuple(buffer.shape):
                wanted = "no such input" if buffer is None else f"{tuple(buffer.shape)} is wanted"
                raise TensorError(f"{name} of shape {tuple(array.shape)}: {wanted}")
            with self.in_order(buffer):
                buffer.copy_(torch.from_numpy(array))
        if not self.context.execute_async_v3(self.stream.cuda_stream):
            raise TensorError("TensorRT could not run these inputs")
        self.stream.synchronize()
        return {name: self.buffers[name].cpu().numpy() for name in self.outputs}
