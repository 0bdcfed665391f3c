"""TensorRT's builder: ONNX files in, engines out."""

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from voxc.backends.tensorrt.device.design import Design
from voxc.backends.tensorrt.device.packed_weights import whole
from voxc.backends.tensorrt.device.scales import CALIBRATOR, scaled_tensors, scales_from
from voxc.backends.tensorrt.device.timings import keep_timings, use_timings
from voxc.compiler.core.device_errors import AgentError, BundleError, MachineError


class Builder:
    """Builds engines of ONNX files, and reads them, with TensorRT from 8.2 on.

    `here` describes the machine; an engine runs only where all of it is the same. `timings` is a file for the times of
    kernels, which makes later builds faster; they do without it where it cannot be read or written.
    """

    LEAST_WORKSPACE = 128 << 20

    def __init__(
        self,
        library: Any,
        here: Dict[str, str],
        timings: Optional[Path],
        warn: Callable[[str], Any] = lambda message: None,
    ) -> None:
        """TensorRT's errors and warnings go to `warn` as they come."""
        self.library, self.here, self.timings = library, here, timings
        self.complaints: List[str] = []
        self.logger = self.listener(warn)
        library.init_libnvinfer_plugins(self.logger, "")  # before 8.6, the parser makes instance norms such
        self.reader = self.started(library.Runtime)

    def listener(self, warn: Callable[[str], Any]) -> Any:
        """TensorRT's logger: errors are kept for our messages."""
        severities, complaints = self.library.ILogger.Severity, self.complaints
        base: Any = self.library.ILogger

        class Listener(base):  # type: ignore[misc]
            def __init__(self) -> None:
                base.__init__(self)  # as the binding wants it

            def log(self, severity: Any, message: str) -> None:
                if severity in (severities.INTERNAL_ERROR, severities.ERROR):
                    complaints.append(" ".join(message.split()))
                if severity in (severities.INTERNAL_ERROR, severities.ERROR, severities.WARNING):
                    warn(message)

        return Listener()

    def started(self, kind: Any) -> Any:
        """A part of TensorRT that needs the GPU.

        Raises:
            MachineError: it cannot start.
        """
        try:
            return kind(self.logger)
        except TypeError as error:  # how the binding says that nothing came of it
            raise MachineError(f"TensorRT {self.here['tensorrt']} cannot start: {self.errors()}") from error

    def errors(self) -> str:
        """The last errors, once."""
        text = "; ".join(self.complaints[-3:]) or "it does not say why"
        self.complaints.clear()
        return text

    @classmethod
    def workspace(cls, free: int, memory_mib: Optional[int] = None) -> int:
        """Bytes to try kernels in: at most half of what is free, and a quarter of the target's memory."""
        return max(min(free // 2, memory_mib << 18) if memory_mib else free // 2, cls.LEAST_WORKSPACE)

    def build(self, design: Design, workspace: int, report: Callable[[str], None]) -> Any:
        """A serialized engine.

        Raises:
            MachineError: TensorRT refuses the file, or cannot build it on this machine.
            BundleError: the design lacks something that the file needs.
        """
        with whole(design.onnx, design.packed, design.scratch) as onnx:
            return self.built_of(onnx, design, workspace, report)

    def built_of(self, onnx: Path, design: Design, workspace: int, report: Callable[[str], None]) -> Any:
        trt = self.library
        self.complaints.clear()
        builder = self.started(trt.Builder)
        explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)  # some day there is nothing else
        network = builder.create_network(0 if explicit is None else 1 << int(explicit))
        parser = trt.OnnxParser(network, self.logger)
        if hasattr(trt, "OnnxParserFlag"):  # since 8.6, where it is not the default; the plugin needs cuDNN
            parser.set_flag(trt.OnnxParserFlag.NATIVE_INSTANCENORM)
        if not parser.parse_from_file(str(onnx)):
            errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
            raise self.failure(design, f"refuses it: {errors or self.errors()}")
        config = builder.create_builder_config()
        if hasattr(config, "set_memory_pool_limit"):  # since 8.4
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
        else:
            config.max_workspace_size = workspace
        self.opened(design, builder, network, config)
        calibrator = self.flagged(design, builder, network, config)  # which the config does not own
        held = self.constrain(design, network, calibrator is not None)
        report(f"building the engine: {network.num_layers} layers, {held} of them held to a precision")
        timings = use_timings(self.timings, config)
        self.complaints.clear()
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise self.failure(design, f"could not build an engine: {self.errors()}")
        keep_timings(self.timings, timings)
        return plan

    def failure(self, design: Design, what: str) -> AgentError:
        return MachineError(f"{design.onnx}: TensorRT {self.here['tensorrt']} {what}")

    def opened(self, design: Design, builder: Any, network: Any, config: Any) -> None:
        """Sets the shapes that inputs with open axes may have, and the shapes to optimize for."""
        inputs = map(network.get_input, range(network.num_inputs))
        names = [each.name for each in inputs if any(size < 0 for size in each.shape)]
        if not names:
            return
        profile = builder.create_optimization_profile()
        for name in names:
            try:
                profile.set_shape(name, *(tuple(design.profiles[name][which]) for which in ("min", "opt", "max")))
            except (KeyError, TypeError, ValueError) as error:
                raise BundleError(f"{design.onnx}: no shapes in its recipe for the open axes of {name}") from error
        if config.add_optimization_profile(profile) < 0:
            raise BundleError(f"{design.onnx}: TensorRT does not take the shapes in its recipe: {self.errors()}")

    def flagged(self, design: Design, builder: Any, network: Any, config: Any) -> Any:
        """Sets the precisions that kernels may use; gives the calibrator if int8 is not in the graph itself."""
        trt, flags = self.library, self.library.BuilderFlag
        if not design.tf32:
            config.clear_flag(flags.TF32)
        if "fp16" in design.arithmetics:
            config.set_flag(flags.FP16)
        strict = "OBEY_PRECISION_CONSTRAINTS"
        config.set_flag(getattr(flags, strict) if hasattr(flags, strict) else flags.STRICT_TYPES)
        if "int8" not in design.arithmetics:
            return None
        if not builder.platform_has_fast_int8:
            gpu = "{gpu} ({compute_capability})".format(**self.here)
            raise MachineError(f"{design.onnx.stem} is int8, and {gpu} has no such arithmetic")
        config.set_flag(flags.INT8)
        kinds = [network.get_layer(index).type for index in range(network.num_layers)]
        if trt.LayerType.QUANTIZE in kinds:
            return None
        if design.cache is None:
            raise BundleError(
                f"{design.onnx}: int8, and neither QuantizeLinear in it nor a calibration cache beside it"
            )
        if not hasattr(trt, CALIBRATOR):
            raise MachineError(
                f"{design.onnx.stem} leaves int8 to TensorRT, and {trt.__version__} no longer chooses it; compile the "
                f"voice without --implicit"
            )
        calibrator = scales_from(trt, design.cache)
        config.int8_calibrator = calibrator
        return calibrator

    def constrain(self, design: Design, network: Any, implicit: bool) -> int:
        """Holds layers to the recipe where the builder could choose a lower precision; gives their number.

        float32 is held wherever float16 is allowed. Where int8 is `implicit`, TensorRT may choose it for each layer all
        of whose tensors have scales: of these, what is float16 in the recipe is held to it. Else QuantizeLinear says
        where int8 is. Layers without floats have no such choice.
        """
        trt, held = self.library, 0
        scaled = scaled_tensors(design.cache) if implicit and design.cache else set()
        kinds = ("CONSTANT", "SHAPE", "QUANTIZE", "DEQUANTIZE")
        skipped = [getattr(trt.LayerType, kind) for kind in kinds]
        floats = {"fp32": trt.float32, "fp16": trt.float16}
        choice = implicit or "fp16" in design.arithmetics
        for layer in map(network.get_layer, range(network.num_layers if choice else 0)):
            precision = design.arithmetic(layer.name)
            if precision == "int8" or layer.type in skipped:
                continue
            outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
            tensors = [layer.get_input(index) for index in range(layer.num_inputs)]
            inputs = [tensor for tensor in tensors if tensor is not None and tensor.dtype in floats.values()]
            if precision == "fp16" and not all(tensor.name in scaled for tensor in (*inputs, *outputs)):
                continue
            if inputs and all(output.dtype in floats.values() for output in outputs):
                layer.precision = floats[precision]
                for index in range(layer.num_outputs):
                    layer.set_output_type(index, floats[precision])
                held += 1
        return held

    def read(self, plan: bytes, where: Path) -> Any:
        """The engine in `plan`, which comes from the file `where`.

        Raises:
            MachineError: TensorRT does not read it.
        """
        self.complaints.clear()
        engine = self.reader.deserialize_cuda_engine(plan)
        if engine is None:
            raise MachineError(f"{where}: TensorRT {self.here['tensorrt']} does not read it: {self.errors()}")
        return engine
