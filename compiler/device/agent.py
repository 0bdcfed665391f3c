#!/usr/bin/env python3
"""Runs, compares and times the components of a voxc bundle on the machine that this file is on.

    python3 agent.py measure BUNDLE    run the reference inputs, compare, time
    python3 agent.py run BUNDLE        run and compare
    python3 agent.py bench BUNDLE      time
    python3 agent.py build BUNDLE      build the engines of a kit for TensorRT, which the others do where there are none

BUNDLE may be left out where this file lies in one, as it does in kits.

It needs Python 3.6, NumPy and the runtime of the bundle's files, and nothing of voxc: it is one file so that it can be
copied alone. It prints one JSON document on stdout; stderr has what it is doing, in lines that begin with
`voxc-agent: `, and whatever runtimes say. Nothing that is in a bundle is executed as Python.

Exit codes: 0 done, 1 an output differs too much from the reference, 2 the bundle or a setting cannot be used, 3 this
machine lacks something. Any other failure is Python's traceback, and no document.
"""

import argparse
import contextlib
import ctypes
import gc
import hashlib
import importlib
import itertools
import json
import os
import platform
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import weakref
import zipfile
from pathlib import Path
from typing import IO, Any, Callable, ClassVar, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Type

PROTOCOL = 1
PROGRESS = "voxc-agent: "
PASSED, FAILED = 0, 1
TOLD_EVERY = 0.2  # seconds between two progress lines of one step
HASHED_AT_ONCE = 1 << 20
SYSFS = Path("/sys")
#: Of a kit for TensorRT, behind the stem of the ONNX file: the engine, where and of what it was built, what its layers
#: compute in, and scales.
ENGINE, IDENTITY, RECIPE, CACHE = ".engine", ".engine.json", ".precisions.json", ".cache"
CALIBRATOR = "IInt8EntropyCalibrator2"

Arrays = Dict[str, Any]
Run = Callable[[Arrays], Arrays]


class AgentError(Exception):
    """What the user can do something about; `kind` is for programs."""

    kind = ""
    exit_code = 2


class PlacementError(Exception):
    """The OS should say where operations run, and does not."""


class BundleError(AgentError):
    kind = "bundle"


class SettingError(AgentError):
    kind = "setting"


class MissingError(AgentError):
    kind = "missing"
    exit_code = 3


class MachineError(AgentError):
    """A part of the machine, or of its runtime, does not do what is asked of it."""

    kind = "machine"
    exit_code = 3


def need(modules: Sequence[str], install: str) -> Any:
    """The first of `modules` that can be imported.

    Raises:
        MissingError: none can.
    """
    complaints = []
    for module in modules:
        try:
            return importlib.import_module(module)
        except ImportError as error:
            complaints.append(str(error))
    package, python = modules[0].split(".")[0], f"{sys.executable}, Python {platform.python_version()}"
    raise MissingError(f"{package} cannot be imported by {python} ({complaints[0]}); install it with {install}")


def listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def hashed(file: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        for block in iter(lambda: stream.read(HASHED_AT_ONCE), b""):
            digest.update(block)
    return digest.hexdigest()


# Runtimes -------------------------------------------------------------------------------------------------------------


class Runtime:
    """What runs the files of one backend. A runtime that lacks a setting refuses it. One that `builds` makes of them
    what it loads."""

    name = ""
    builds = False

    def __init__(self, target: Dict[str, Any], threads: Optional[int], units: Optional[str]) -> None:
        """`target` is the manifest's record; `threads` and `units` were asked for, or are None.

        Raises:
            MissingError: it is not installed.
            SettingError: it has no such setting.
        """
        self.library: Any = None
        self.settings: Dict[str, Any] = {}
        self.versions: Dict[str, str] = {}

    def load(self, file: Path, component: Dict[str, Any]) -> Run:
        """What maps inputs to outputs, both by name, for a component by its main file."""
        raise NotImplementedError

    def build(self, bundle: "Bundle", component: Dict[str, Any], asked: Any, tell: "Teller") -> Dict[str, Any]:
        """Finds what `load` needs, or builds it; says what it is."""
        raise SettingError(f"build: {self.name} runs the bundle's files as they are")

    def placements(self, file: Path) -> Tuple[Dict[str, str], Dict[str, float]]:
        """Where the OS says it runs the operations of a file, by their first output, and the share of the estimated
        cost by place; nothing where there is but one place.

        Raises:
            PlacementError: it does not say.
        """
        return {}, {}

    def refuse_units(self, units: Optional[str]) -> None:
        if units is not None:
            raise SettingError(f"compute units {units}: {self.name} has no such setting")

    def use_threads(self, target: Dict[str, Any], threads: Optional[int]) -> int:
        chosen = threads or target.get("threads") or usable_cores()
        self.settings["threads"] = chosen
        return int(chosen)

    def refuse_threads(self, threads: Optional[int]) -> None:
        if threads is not None:
            raise SettingError(f"threads {threads}: {self.name} chooses its threads itself")


class OnnxRuntime(Runtime):
    """ONNX Runtime on the CPU, set up as voxc does it on the host."""

    name = "onnxruntime"

    def __init__(self, target: Dict[str, Any], threads: Optional[int], units: Optional[str]) -> None:
        super().__init__(target, threads, units)
        self.refuse_units(units)
        self.library = need(["onnxruntime"], "pip install onnxruntime")
        self.versions["onnxruntime"] = self.library.__version__
        self.threads = self.use_threads(target, threads)

    def load(self, file: Path, component: Dict[str, Any]) -> Run:
        options = self.library.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_mem_pattern = False
        session = self.library.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        outputs = [output.name for output in session.get_outputs()]

        def run(inputs: Arrays) -> Arrays:
            return dict(zip(outputs, session.run(outputs, inputs)))

        return run


class Tflite(Runtime):
    """LiteRT, or TensorFlow Lite as older systems have it, with XNNPACK."""

    name = "tflite"

    def __init__(self, target: Dict[str, Any], threads: Optional[int], units: Optional[str]) -> None:
        super().__init__(target, threads, units)
        self.refuse_units(units)
        names = ("ai_edge_litert", "tflite_runtime", "tensorflow.lite.python")
        self.library = need(
            [name + ".interpreter" for name in names], "pip install ai-edge-litert, or tflite-runtime on an old system"
        )
        package = self.library.__name__.split(".")[0]
        self.versions[package] = getattr(importlib.import_module(package), "__version__", "unknown")
        self.threads = self.use_threads(target, threads)

    def load(self, file: Path, component: Dict[str, Any]) -> Run:
        interpreter = self.library.Interpreter(str(file), num_threads=self.threads)
        interpreter.allocate_tensors()
        inputs = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
        outputs = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}

        def run(given: Arrays) -> Arrays:
            for name, array in given.items():
                interpreter.set_tensor(inputs[name], array)
            interpreter.invoke()
            return {name: interpreter.get_tensor(index) for name, index in outputs.items()}

        return run


class CoreMl(Runtime):
    """Core ML on macOS, through coremltools."""

    name = "coreml"
    places: ClassVar[Dict[str, str]] = {
        "MLCPUComputeDevice": "CPU",
        "MLGPUComputeDevice": "GPU",
        "MLNeuralEngineComputeDevice": "ANE",
    }

    def __init__(self, target: Dict[str, Any], threads: Optional[int], units: Optional[str]) -> None:
        super().__init__(target, threads, units)
        self.refuse_threads(threads)
        if sys.platform != "darwin":
            raise MissingError(f"Core ML is part of macOS; this machine has {platform.system()}")
        self.library = need(["coremltools"], "pip install coremltools")
        self.versions["coremltools"] = self.library.__version__
        wanted = units or target["capabilities"].get("compute_units") or "ALL"
        known = [unit.name for unit in self.library.ComputeUnit]
        if wanted not in known:
            raise SettingError(f"compute units {wanted}: Core ML has {listed(known)}")
        self.settings["compute_units"] = wanted
        self.compute_units: Any = self.library.ComputeUnit[wanted]
        self.models: Dict[Path, Any] = {}

    def load(self, file: Path, component: Dict[str, Any]) -> Run:
        import numpy as np

        model = self.library.models.MLModel(str(file.parent), compute_units=self.compute_units)
        self.models[file] = model

        def run(inputs: Arrays) -> Arrays:
            narrow = {name: x.astype(np.int32) if x.dtype == np.int64 else x for name, x in inputs.items()}
            return dict(model.predict(narrow))

        return run

    def placements(self, file: Path) -> Tuple[Dict[str, str], Dict[str, float]]:
        model = self.models.pop(file)  # what it was compiled to vanishes with it
        try:
            plan = importlib.import_module("coremltools.models.compute_plan").MLComputePlan.load_from_path(
                model.get_compiled_model_path(), compute_units=self.compute_units
            )
        except (ImportError, RuntimeError, ValueError) as error:  # coremltools before 8, macOS before 14.4
            raise PlacementError(f"MLComputePlan is not to be had: {error}") from error
        where: Dict[str, str] = {}
        costs: Dict[str, float] = {}
        for operation in plan.model_structure.program.functions[model.function_name or "main"].block.operations:
            usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
            if usage is None:  # constants have none
                continue
            place = self.places.get(type(usage.preferred_compute_device).__name__, "unknown")
            where[operation.outputs[0].name] = place
            cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
            costs[place] = costs.get(place, 0.0) + (cost.weight if cost is not None else 0.0)
        total = sum(costs.values())
        return where, {place: cost / total for place, cost in costs.items()} if total else {}


class Mlx(Runtime):
    """MLX: an exported function, and the weights that are among its arguments; on the GPU where there is one.

    The file names the kind of device in a stream of every operation. voxc writes a GPU there, in a stream with a number
    that nothing else has.
    """

    name = "mlx"
    devices: ClassVar[Dict[str, str]] = {"CPU_ONLY": "cpu", "CPU_AND_GPU": "gpu"}
    numbers: ClassVar[Dict[str, int]] = {"cpu": 0, "gpu": 1}

    def __init__(self, target: Dict[str, Any], threads: Optional[int], units: Optional[str]) -> None:
        super().__init__(target, threads, units)
        self.refuse_threads(threads)
        self.library = need(["mlx.core"], "pip install mlx (on Linux: 'mlx[cpu]')")
        self.versions["mlx"] = self.library.__version__
        if units is not None and units not in self.devices:
            raise SettingError(f"compute units {units}: MLX has {listed(self.devices)}")
        there = "gpu" if self.library.is_available(self.library.gpu) else "cpu"
        self.device = self.devices[units] if units else there
        if self.device == "gpu" and there != "gpu":
            raise SettingError(f"compute units {units}: MLX has no GPU on this machine")
        self.library.set_default_device(getattr(self.library, self.device))
        self.settings["device"] = self.device

    def load(self, file: Path, component: Dict[str, Any]) -> Run:
        import numpy as np

        mx = self.library
        weights = mx.load(str(file.with_name("model.safetensors")))
        function = self.imported(file.read_bytes())
        outputs = [spec["name"] for spec in component["outputs"]]

        def call(given: Arrays) -> Any:
            return tuple(function(**given))

        if self.device == "gpu":  # for CPUs it would call g++ for every few operations
            call = mx.compile(call)

        def run(inputs: Arrays) -> Arrays:
            found = call(dict(weights, **{name: mx.array(array) for name, array in inputs.items()}))
            mx.eval(found)
            return {name: np.array(array) for name, array in zip(outputs, found)}

        return run

    def imported(self, content: bytes) -> Any:
        """The function of a file, moved to this runtime's device."""

        def stream(device: str) -> bytes:
            return b"voxc" + struct.pack("<2i", self.numbers[device], 0)

        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory) / "model.mlxfn"
            place.write_bytes(content.replace(stream("gpu"), stream(self.device)))
            return self.library.import_function(str(place))


class Cuda:
    """What engines need of the CUDA runtime, through its shared library.

    Raises:
        MissingError: there is no such library, or it finds no GPU.
    """

    TO_DEVICE, TO_HOST = 1, 2  # cudaMemcpyKind
    MAJOR, MINOR = 75, 76  # cudaDevAttrComputeCapabilityMajor and Minor
    PROPERTIES = 1 << 14  # bytes: cudaDeviceProp, which begins with the name, has about 1000 and grows
    NAME = 256
    signatures: ClassVar[Dict[str, Sequence[Any]]] = {
        "cudaGetDeviceCount": [ctypes.c_void_p],
        "cudaGetDeviceProperties": [ctypes.c_void_p, ctypes.c_int],
        "cudaDeviceGetAttribute": [ctypes.c_void_p, ctypes.c_int, ctypes.c_int],
        "cudaRuntimeGetVersion": [ctypes.c_void_p],
        "cudaMemGetInfo": [ctypes.c_void_p, ctypes.c_void_p],
        "cudaMalloc": [ctypes.c_void_p, ctypes.c_size_t],
        "cudaFree": [ctypes.c_void_p],
        "cudaMemcpyAsync": [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p],
        "cudaStreamCreate": [ctypes.c_void_p],
        "cudaStreamSynchronize": [ctypes.c_void_p],
        "cudaStreamDestroy": [ctypes.c_void_p],
        "cudaGetErrorString": [ctypes.c_int],
    }

    def __init__(self) -> None:
        self.library = self.opened()
        for name, arguments in self.signatures.items():
            getattr(self.library, name).argtypes = list(arguments)
        self.library.cudaGetErrorString.restype = ctypes.c_char_p
        count = ctypes.c_int(0)
        code = self.library.cudaGetDeviceCount(ctypes.byref(count))
        if code or not count.value:
            raise MissingError(f"CUDA finds no GPU: {self.meaning(code) if code else 'there is none'}")

    @staticmethod
    def opened() -> Any:
        """JetPack's is found by its name; those of Python packages lie below site-packages."""
        wheels = (str(file) for place in sys.path for file in Path(place).glob("nvidia/cu*/lib/libcudart.so.*"))
        names = ("libcudart.so", *(f"libcudart.so.{version}" for version in ("10.2", "11.0", "12", "13")))
        for name in itertools.chain(names, ["/usr/local/cuda/lib64/libcudart.so"], wheels):
            with contextlib.suppress(OSError):
                return ctypes.CDLL(name)
        raise MissingError(
            "libcudart, CUDA's runtime library, is not found; JetPack has it: apt install nvidia-jetpack"
        )

    def meaning(self, code: int) -> str:
        return f"{self.library.cudaGetErrorString(code).decode('utf-8', 'replace')} (error {code})"

    def __call__(self, name: str, *arguments: Any) -> None:
        """Calls a function by its name without `cuda`.

        Raises:
            MachineError: it failed.
        """
        code = getattr(self.library, "cuda" + name)(*arguments)
        if code:
            raise MachineError(f"cuda{name}: {self.meaning(code)}")

    def number(self, name: str, *arguments: Any) -> int:
        found = ctypes.c_int(0)
        self(name, ctypes.byref(found), *arguments)
        return found.value

    def pointer(self, name: str, *arguments: Any) -> int:
        """What a function makes, by its address."""
        found = ctypes.c_void_p(None)
        self(name, ctypes.byref(found), *arguments)
        return found.value or 0

    @property
    def gpu(self) -> str:
        properties = ctypes.create_string_buffer(self.PROPERTIES)
        self("GetDeviceProperties", properties, 0)
        return properties.raw[: self.NAME].split(b"\0")[0].decode("utf-8", "replace")

    @property
    def compute_capability(self) -> str:
        return ".".join(str(self.number("DeviceGetAttribute", which, 0)) for which in (self.MAJOR, self.MINOR))

    @property
    def version(self) -> str:
        number = self.number("RuntimeGetVersion")
        return f"{number // 1000}.{number % 1000 // 10}"

    @property
    def free(self) -> int:
        """Bytes of memory that nobody has; on a board those of the CPU as well."""
        free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
        self("MemGetInfo", ctypes.byref(free), ctypes.byref(total))
        return free.value


class Design:
    """What an engine is built of: an ONNX file; a recipe, which says what layers are to compute in and what shapes open
    axes are for; scales for int8 that is not in the file itself; and weights that are `packed` beside it, with room
    for them below the directory `scratch`."""

    def __init__(
        self, onnx: Path, recipe: Dict[str, Any], cache: Optional[bytes] = None, packed: Optional[Path] = None,
        scratch: Optional[Path] = None,
    ) -> None:  # fmt: skip
        self.onnx, self.cache, self.packed = onnx, cache, packed
        self.scratch = scratch or onnx.parent
        self.default: str = recipe.get("default", "fp32")
        self.layers: Dict[str, str] = recipe.get("layers", {})
        self.tf32: bool = recipe.get("tf32", False)
        self.profiles: Dict[str, Dict[str, Sequence[int]]] = recipe.get("profiles", {})

    @property
    def arithmetics(self) -> List[str]:
        return sorted({self.default, *self.layers.values()})

    def arithmetic(self, layer: str) -> str:
        """Of a layer by its name in the network: that of its ONNX node, perhaps with `_` and a number behind."""
        base, _, number = layer.rpartition("_")
        return self.layers.get(layer, self.layers.get(base, self.default) if number.isdigit() else self.default)


class Builder:
    """Builds engines of ONNX files, and reads them, with TensorRT from 8.2 on. voxc itself uses it where TensorRT is.

    `here` says what the engines are for; an engine runs where all of it is the same. `timings` is a file for the times
    of kernels, so that builds that follow take less; where it cannot be had, they take what they take.
    """

    LEAST_WORKSPACE = 128 << 20

    def __init__(
        self, library: Any, here: Dict[str, str], timings: Optional[Path], say: Callable[[str], Any] = lambda line: None
    ) -> None:
        """TensorRT's errors and warnings go to `say` as they come."""
        self.library, self.here, self.timings = library, here, timings
        self.complaints: List[str] = []
        self.logger = self.listener(say)
        library.init_libnvinfer_plugins(self.logger, "")  # before 8.6, the parser makes instance norms such
        self.reader = self.started(library.Runtime)

    def listener(self, say: Callable[[str], Any]) -> Any:
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
                    say(message)

        return Listener()

    def started(self, kind: Any) -> Any:
        """A part of TensorRT that takes hold of the GPU."""
        try:
            return kind(self.logger)
        except TypeError as error:  # how the binding says that nothing came of it
            raise MachineError(f"TensorRT {self.here['tensorrt']} cannot start: {self.said()}") from error

    def said(self) -> str:
        """The last errors, once."""
        text = "; ".join(self.complaints[-3:]) or "it does not say why"
        del self.complaints[:]
        return text

    @classmethod
    def workspace(cls, free: int, memory_mib: Optional[int] = None) -> int:
        """What may be used to try kernels in, in bytes: half of what is free, and a quarter of the target's memory."""
        return max(min(free // 2, memory_mib << 18) if memory_mib else free // 2, cls.LEAST_WORKSPACE)

    def build(self, design: Design, workspace: int, tell: Callable[[str], None]) -> Any:
        """A serialized engine.

        Raises:
            MachineError: TensorRT refuses the file, or can make nothing of it here.
            BundleError: the design lacks something.
        """
        with whole(design.onnx, design.packed, design.scratch) as onnx:
            return self.built_of(onnx, design, workspace, tell)

    def built_of(self, onnx: Path, design: Design, workspace: int, tell: Callable[[str], None]) -> Any:
        trt = self.library
        del self.complaints[:]
        builder = self.started(trt.Builder)
        explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)  # some day there is nothing else
        network = builder.create_network(0 if explicit is None else 1 << int(explicit))
        parser = trt.OnnxParser(network, self.logger)
        if hasattr(trt, "OnnxParserFlag"):  # since 8.6, which does not do so unless told; the plugin needs cuDNN
            parser.set_flag(trt.OnnxParserFlag.NATIVE_INSTANCENORM)
        if not parser.parse_from_file(str(onnx)):
            errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
            raise self.failure(design, f"refuses it: {errors or self.said()}")
        config = builder.create_builder_config()
        if hasattr(config, "set_memory_pool_limit"):  # since 8.4
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
        else:
            config.max_workspace_size = workspace
        self.opened(design, builder, network, config)
        calibrator = self.flagged(design, builder, network, config)  # which the config does not own
        held = self.constrain(design, network, calibrator is not None)
        tell(f"building the engine: {network.num_layers} layers, {held} of them held to a precision")
        timings = self.use_timings(config)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise self.failure(design, f"could not build an engine: {self.said()}")
        self.keep_timings(timings)
        return plan

    def failure(self, design: Design, what: str) -> AgentError:
        return MachineError(f"{design.onnx}: TensorRT {self.here['tensorrt']} {what}")

    def opened(self, design: Design, builder: Any, network: Any, config: Any) -> None:
        """Says what shapes inputs with open axes may have, and which to be fast for."""
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
            raise BundleError(f"{design.onnx}: TensorRT does not take the shapes in its recipe: {self.said()}")

    def flagged(self, design: Design, builder: Any, network: Any, config: Any) -> Any:
        """Sets what kernels may compute in; gives the calibrator if int8 is not in the graph itself."""
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
        """Holds layers to what the recipe says where the builder could choose less; gives how many.

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
            wanted = design.arithmetic(layer.name)
            if wanted == "int8" or layer.type in skipped:
                continue
            outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
            tensors = [layer.get_input(index) for index in range(layer.num_inputs)]
            given = [tensor for tensor in tensors if tensor is not None and tensor.dtype in floats.values()]
            if wanted == "fp16" and not all(tensor.name in scaled for tensor in (*given, *outputs)):
                continue
            if given and all(output.dtype in floats.values() for output in outputs):
                layer.precision = floats[wanted]
                for index in range(layer.num_outputs):
                    layer.set_output_type(index, floats[wanted])
                held += 1
        return held

    def use_timings(self, config: Any) -> Any:
        """Timings of kernels that earlier builds left, for this one to add to; those of another machine or version, and
        what is none, are passed over."""
        cache = None
        if self.timings is not None:
            with contextlib.suppress(OSError):
                cache = config.create_timing_cache(self.timings.read_bytes())
        if cache is None or not config.set_timing_cache(cache, False):
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, False)
        del self.complaints[:]
        return cache

    def keep_timings(self, cache: Any) -> None:
        """Writes them, so that half a file is none. Where that cannot be, the next build takes longer."""
        if self.timings is None:
            return
        partial = self.timings.with_name(f"{self.timings.name}.{os.getpid()}.partial")
        with contextlib.suppress(OSError):
            self.timings.parent.mkdir(parents=True, exist_ok=True)
            try:
                partial.write_bytes(cache.serialize())
                partial.replace(self.timings)
            except OSError:
                partial.unlink()
                raise

    def read(self, plan: bytes, where: Path) -> Any:
        """An engine of its bytes, which are from `where`.

        Raises:
            MachineError: TensorRT does not read it.
        """
        del self.complaints[:]
        engine = self.reader.deserialize_cuda_engine(plan)
        if engine is None:
            raise MachineError(f"{where}: TensorRT {self.here['tensorrt']} does not read it: {self.said()}")
        return engine


def timings_file(here: Dict[str, str]) -> Optional[Path]:
    """Where the user's timings of kernels are for a machine, in the user's cache directory; None if there is none."""
    try:
        place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except (KeyError, RuntimeError):  # a user without a home
        return None
    told = "{tensorrt}-{gpu}-{compute_capability}".format(**here)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", told)
    return place / "voxc" / f"{name}.timings" if place.is_absolute() else None


class Kit:
    """What the engine of a component is built of, and where it goes: beside the ONNX file, or to the same place below
    another directory."""

    def __init__(self, bundle: "Bundle", component: Dict[str, Any], engines: Optional[Path]) -> None:
        self.bundle, self.component = bundle, component
        records = [record for record in component["files"] if not record["path"].endswith((ENGINE, IDENTITY))]
        self.sources = {record["path"]: record["sha256"] for record in records}
        files = [bundle.file(record) for record in records]
        recipe = self.recipe_of([file for file in files if file.name.endswith(RECIPE)])
        cache = next((file.read_bytes() for file in files if file.suffix == CACHE), None)
        packed = next((file for file in files if file.name.endswith(PACKED)), None)
        self.memory_mib = bundle.target["capabilities"].get("memory_mib")
        self.directory = engines or bundle.directory
        self.place = (self.directory / records[0]["path"]).with_suffix(ENGINE)
        self.design = Design(files[0], recipe, cache, packed, self.place.parent)

    @staticmethod
    def recipe_of(files: Sequence[Path]) -> Dict[str, Any]:
        """What layers are to compute in; all of it float32 where no file says so."""
        recipe: Dict[str, Any] = {}
        for file in files:
            try:
                recipe.update(json.loads(file.read_text(encoding="utf-8")))
            except (ValueError, TypeError) as error:
                raise BundleError(f"{file}: not a recipe of an engine ({error})") from error
        return recipe

    def stated(self) -> Dict[str, Any]:
        """What stands beside the engine at its place: where and of what it was built."""
        try:
            stated = json.loads(self.place.with_suffix(IDENTITY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stated if isinstance(stated, dict) else {}

    def listed(self) -> List[Tuple[Dict[str, Any], Dict[str, Any]]]:
        """Engines that the manifest lists for the component: where each was built, and its file."""
        runs = self.bundle.devices
        engines = (run["components"].get(self.component["name"], {}).get("engine") for run in runs)
        return [(engine, engine["file"]) for engine in engines if engine]

    def write(self, plan: Any, identity: Dict[str, Any]) -> None:
        """Writes an engine, and what it is, so that half an engine is none."""
        partial = self.place.with_suffix(ENGINE + ".partial")
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(plan)
            partial.replace(self.place)
            self.place.with_suffix(IDENTITY).write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise SettingError(f"{self.place}: cannot be written ({error.strerror}); see --engines") from error


class TensorRt(Runtime):
    """TensorRT from 8.2 on: engines that are built here of the kit's ONNX files, and run with memory of our own."""

    name = "tensorrt"
    builds = True

    def __init__(self, target: Dict[str, Any], threads: Optional[int], units: Optional[str]) -> None:
        super().__init__(target, threads, units)
        self.refuse_units(units)
        self.refuse_threads(threads)
        self.library = need(["tensorrt"], "JetPack, whose python3-libnvinfer is for the system's python3")
        self.cuda = Cuda()
        self.versions.update(tensorrt=self.library.__version__, cuda=self.cuda.version)
        capability = self.cuda.compute_capability
        self.here = {
            "tensorrt": str(self.library.__version__), "gpu": self.cuda.gpu, "compute_capability": capability
        }  # fmt: skip
        self.settings["gpu"] = f"{self.cuda.gpu} ({capability})"
        self.builder = Builder(
            self.library, self.here, timings_file(self.here), lambda line: sys.stderr.write(line + "\n")
        )
        self.engines: Dict[Path, Path] = {}

    def build(self, bundle: "Bundle", component: Dict[str, Any], asked: Any, tell: "Teller") -> Dict[str, Any]:
        kit = Kit(bundle, component, Path(asked.engines) if asked.engines else None)
        tell("looking for an engine")
        if kit.place.exists():
            complaint = self.complaint(kit)
            if not complaint:
                return self.chosen(kit, kit.place, {})
            if asked.command != "build":
                raise MachineError(f"{kit.place}: {complaint}; `agent.py build` builds it anew")
            tell(f"{complaint}: building anew")
        else:
            for identity, record in kit.listed():
                if self.differs(identity) is None and (bundle.directory / record["path"]).exists():
                    return self.chosen(kit, bundle.file(record), {})
        tell("building the engine")
        started = time.perf_counter()
        if asked.timings:
            self.builder.timings = Path(asked.timings)
        workspace = self.builder.workspace(self.cuda.free, kit.memory_mib)
        plan = self.builder.build(kit.design, workspace, tell)
        digest = hashlib.sha256(plan).hexdigest()
        kit.write(plan, dict(self.here, sha256=digest, sources=kit.sources))
        del plan
        taken = {"build_s": time.perf_counter() - started, "workspace_mib": workspace >> 20}
        return self.chosen(kit, kit.place, taken)

    def chosen(self, kit: Kit, file: Path, taken: Dict[str, Any]) -> Dict[str, Any]:
        self.engines[kit.design.onnx] = file
        return dict(self.here, bytes=file.stat().st_size, sha256=hashed(file), **taken)

    def complaint(self, kit: Kit) -> str:
        """Why the engine at its place cannot be run; empty if it can."""
        stated = kit.stated()
        if not stated:
            return "does not say where it was built"
        different = self.differs(stated)
        if different:
            return different
        if stated.get("sources", kit.sources) != kit.sources:
            return "was built of other files than the bundle has"
        return "" if stated.get("sha256", hashed(kit.place)) == hashed(kit.place) else "is not whole"

    def differs(self, identity: Dict[str, Any]) -> Optional[str]:
        """In words, how the machine that an engine was built on is not this one; None if it is."""
        if all(identity.get(name) == value for name, value in self.here.items()):
            return None
        there, here = (
            "TensorRT {tensorrt}, {gpu} ({compute_capability})".format(
                **{name: each.get(name, "unknown") for name in self.here}
            )
            for each in (identity, self.here)
        )
        return f"built for {there}; this machine has {here}"

    def load(self, file: Path, component: Dict[str, Any]) -> Run:
        engine_file = self.engines[file]
        return Engine(self.cuda, self.builder, self.builder.read(engine_file.read_bytes(), engine_file))


class Bound:
    """An engine with a context to run it in: its tensors, whether TensorRT has them by number, as 8.2 does, or by name.

    `least` and `most` are the shapes that each input may have. Where they differ, the input has open axes, and has the
    most until it is told another shape.
    """

    DTYPES = ("float32", "float16", "int32", "int64", "bool")

    def __init__(self, builder: Builder, engine: Any) -> None:
        self.builder, self.engine, self.by_name = builder, engine, hasattr(engine, "num_io_tensors")  # since 8.5
        self.context = engine.create_execution_context()
        if self.context is None:
            raise MachineError(f"TensorRT cannot prepare to run the engine: {builder.said()}")
        if self.by_name:
            self.names: List[str] = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        else:
            self.names = [engine.get_binding_name(index) for index in range(engine.num_bindings)]
        self.addresses = [0 for _ in self.names]
        self.outputs = [name for name in self.names if not self.goes_in(name)]
        self.least: Dict[str, Tuple[int, ...]] = {}
        self.most: Dict[str, Tuple[int, ...]] = {}
        self.given: Dict[str, Tuple[int, ...]] = {}
        for name in self.names:
            if self.goes_in(name):
                self.least[name], self.most[name] = self.range_of(name)
                self.fit(name, self.most[name])

    def goes_in(self, name: str) -> bool:
        if self.by_name:
            return bool(self.engine.get_tensor_mode(name) == self.builder.library.TensorIOMode.INPUT)
        return bool(self.engine.binding_is_input(self.names.index(name)))

    def range_of(self, name: str) -> Tuple[Tuple[int, ...], Tuple[int, ...]]:
        if self.by_name:
            fixed = tuple(self.engine.get_tensor_shape(name))
        else:
            fixed = tuple(self.engine.get_binding_shape(self.names.index(name)))
        if all(size >= 0 for size in fixed):
            return fixed, fixed
        if self.by_name:
            least, _, most = self.engine.get_tensor_profile_shape(name, 0)
        else:
            least, _, most = self.engine.get_profile_shape(0, self.names.index(name))
        return tuple(least), tuple(most)

    def fit(self, name: str, shape: Tuple[int, ...]) -> None:
        """Says what shape an input has from now on.

        Raises:
            BundleError: it cannot have that.
        """
        least, most = self.least[name], self.most[name]
        if len(shape) != len(most) or not all(a <= size <= b for a, size, b in zip(least, shape, most)):
            wanted = f"{least} to {most}" if least != most else str(most)
            raise BundleError(f"{name} of shape {shape}: the engine takes {wanted}")
        if least == most or self.given.get(name) == shape:
            return
        if self.by_name:
            taken = self.context.set_input_shape(name, shape)
        else:
            taken = self.context.set_binding_shape(self.names.index(name), shape)
        if not taken:
            raise BundleError(f"{name} of shape {shape}: TensorRT does not take it: {self.builder.said()}")
        self.given[name] = shape

    def shape(self, name: str) -> Tuple[int, ...]:
        """Of a tensor, now that inputs have theirs."""
        if self.by_name:
            found = tuple(self.context.get_tensor_shape(name))
        else:
            found = tuple(self.context.get_binding_shape(self.names.index(name)))
        if any(size < 0 for size in found):
            raise BundleError(f"{name}: its shape {found} does not follow from those of the inputs")
        return found

    def dtype(self, name: str) -> str:
        """What NumPy calls a tensor's type."""
        if self.by_name:
            found = self.engine.get_tensor_dtype(name)
        else:
            found = self.engine.get_binding_dtype(self.names.index(name))
        known = {
            getattr(self.builder.library, each): each for each in self.DTYPES if hasattr(self.builder.library, each)
        }
        if found not in known:
            raise BundleError(f"{name}: {found}; engines need plain types")
        return known[found]

    def place(self, name: str, address: int) -> None:
        """Says where in the GPU's memory a tensor is."""
        self.addresses[self.names.index(name)] = address
        if self.by_name:
            self.context.set_tensor_address(name, address)

    def run(self, stream: int) -> None:
        """Has the GPU run the engine when it is done with what is in the stream."""
        if self.by_name:
            done = self.context.execute_async_v3(stream)
        else:
            done = self.context.execute_async_v2(self.addresses, stream)
        if not done:
            raise MachineError(f"TensorRT could not run the engine: {self.builder.said()}")


class Engine:
    """An engine that runs on arrays, with a stream and a buffer for the most that each tensor may be."""

    def __init__(self, cuda: Cuda, builder: Builder, engine: Any) -> None:
        import numpy as np

        self.cuda, self.bound = cuda, Bound(builder, engine)
        self.stream = cuda.pointer("StreamCreate")
        weakref.finalize(self, cuda.library.cudaStreamDestroy, self.stream)
        self.buffers: Dict[str, Tuple[int, Any]] = {}
        for name in self.bound.names:
            buffer = np.zeros(self.bound.shape(name), self.bound.dtype(name)).reshape(-1)
            address = cuda.pointer("Malloc", max(buffer.nbytes, 1))
            weakref.finalize(self, cuda.library.cudaFree, address)
            self.buffers[name] = address, buffer
            self.bound.place(name, address)

    def array(self, name: str) -> Any:
        """A tensor's place on the host, as long as it is now."""
        import numpy as np

        shape = self.bound.shape(name)
        return self.buffers[name][1][: int(np.prod(shape))].reshape(shape)

    def __call__(self, inputs: Arrays) -> Arrays:
        missing = [name for name in self.bound.least if name not in inputs]
        if missing:
            raise BundleError(f"the engine takes {listed(missing)}, which the bundle has no reference for")
        for name in self.bound.least:  # TensorRT leaves out what no layer reads
            self.bound.fit(name, inputs[name].shape)
            array = self.array(name)
            array[...] = inputs[name]
            if array.dtype.kind == "i" and (array != inputs[name]).any():
                raise BundleError(f"{name}: the engine takes {array.dtype}, too narrow for what the bundle gives")
            self.copy(self.buffers[name][0], array.ctypes.data, array.nbytes, Cuda.TO_DEVICE)
        self.bound.run(self.stream)
        found = {name: self.array(name) for name in self.bound.outputs}
        for name, array in found.items():
            self.copy(array.ctypes.data, self.buffers[name][0], array.nbytes, Cuda.TO_HOST)
        self.cuda("StreamSynchronize", self.stream)
        return {name: array.copy() for name, array in found.items()}

    def copy(self, to: int, source: int, size: int, way: int) -> None:
        self.cuda("MemcpyAsync", to, source, size, way, self.stream)


def scaled_tensors(cache: bytes) -> Set[str]:
    """The tensors that a calibration cache has scales of."""
    lines = cache.decode("utf-8", "replace").splitlines()[1:]
    return {line.rpartition(": ")[0] for line in lines}


def scales_from(trt: Any, cache: bytes) -> Any:
    """A calibrator that has no data, only the scales of a cache.

    They are voxc's and not of a version of TensorRT, but a builder takes a cache of its own version alone.

    Raises:
        BundleError: it is no cache.
    """
    header, _, lines = cache.partition(b"\n")
    if not re.match(rb"TRT-\d+-EntropyCalibration2\Z", header):
        raise BundleError(f"a calibration cache begins with TRT-8201-EntropyCalibration2, not {header[:60]!r}")
    major, minor, patch = (int(part) for part in str(trt.__version__).split(".")[:3])
    number = (major * 100 if major >= 10 else major * 10) * 100 + minor * 100 + patch
    content = f"TRT-{number}-EntropyCalibration2\n".encode() + lines
    base: Any = getattr(trt, CALIBRATOR)

    class Scales(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)  # as the binding wants it

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: Sequence[str]) -> None:
            return None

        def read_calibration_cache(self) -> bytes:
            return content

        def write_calibration_cache(self, cache: Any) -> None:
            pass

    return Scales()


RUNTIMES: Dict[str, Type[Runtime]] = {each.name: each for each in (OnnxRuntime, Tflite, CoreMl, Mlx, TensorRt)}


# Weights in 8 bits ----------------------------------------------------------------------------------------------------

#: A kit's ONNX file may leave out weights, which it looks for in a file beside it with its own name and DATA behind.
#: The kit has them in an archive (PACKED, behind the stem), two arrays each: numbers of 8 bits, and float32 scales
#: along one of their axes, NPZ as voxc writes it. As float32, they lie one after the other in the order of their names.
PACKED, DATA = ".weights.npz", ".data"
NUMBERS, SCALES = "numbers/", "scales/"
NPY = re.compile(
    rb"\x93NUMPY\x01\x00(..)\{'descr': '([^']{1,9})', 'fortran_order': False, 'shape': \(([0-9, ]{0,99})\), \} *\n",
    re.S,
)
BAD_ARCHIVE = (OSError, ValueError, RuntimeError, EOFError, OverflowError, struct.error, zipfile.BadZipFile)


@contextlib.contextmanager
def whole(onnx: Path, packed: Optional[Path], directory: Path) -> Iterator[Path]:
    """An ONNX file that has all of its weights: itself, or where they are `packed` a copy with them beside it, in a
    directory of its own below `directory` that vanishes behind the block.

    Raises:
        BundleError: see `packed_weights`.
        SettingError: the directory cannot be written.
    """
    with contextlib.ExitStack() as stack:
        place = onnx
        if packed is not None:
            try:
                directory.mkdir(parents=True, exist_ok=True)
                own = stack.enter_context(tempfile.TemporaryDirectory(prefix=".voxc-", dir=str(directory)))
                place = Path(own) / onnx.name
                shutil.copyfile(str(onnx), str(place))
                with place.with_name(onnx.name + DATA).open("wb") as stream:
                    for _, numbers, scales in packed_weights(packed):
                        stream.write((numbers.astype("<f4") * scales).tobytes())
            except OSError as error:
                raise SettingError(f"{directory}: cannot hold the weights of {onnx.name} ({error.strerror})") from error
        yield place


def packed_weights(file: Path) -> Iterator[Tuple[str, Any, Any]]:
    """Name, numbers and scales of each weight in an archive from anyone, in the order of names, and one at a time.

    Raises:
        BundleError: it is no such archive, or would give more than its own bytes.
    """
    try:
        with zipfile.ZipFile(str(file)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > file.stat().st_size:
                raise ValueError("it says that it holds more than it does")
            names = [entry.filename for entry in entries if entry.compress_type == zipfile.ZIP_STORED]
            weights = sorted(name[len(NUMBERS) : -len(".npy")] for name in names if name.startswith(NUMBERS))
            pairs = [(f"{NUMBERS}{name}.npy", f"{SCALES}{name}.npy") for name in weights]
            if len(names) < len(entries) or sorted(names) != sorted(set(itertools.chain(*pairs))):
                raise ValueError("it does not hold numbers and scales alone")
            for name, pair in zip(weights, pairs):
                numbers, scales = (plain_array(archive.read(each)) for each in pair)
                check_packed(name, numbers, scales)
                yield name, numbers, scales
    except BAD_ARCHIVE as error:
        raise BundleError(f"{file}: not the weights of a kit ({error})") from error


def check_packed(name: str, numbers: Any, scales: Any) -> None:
    """Raises ValueError if two arrays are not a weight."""
    import numpy as np

    if numbers.dtype != np.int8 or scales.dtype != np.float32:
        raise ValueError(f"{name} is {numbers.dtype} and {scales.dtype}, not int8 and float32")
    fits = len(scales.shape) == len(numbers.shape) and all(
        own in (1, size) for own, size in zip(scales.shape, numbers.shape)
    )
    if not fits or sum(own != 1 for own in scales.shape) > 1:
        raise ValueError(f"{name}: scales of shape {scales.shape} are not for {numbers.shape}")
    if not (np.isfinite(scales) & (scales > 0)).all():
        raise ValueError(f"{name}: a scale that is none")


def plain_array(content: bytes) -> Any:
    """The array in an NPY file as voxc writes it, whose bytes are all there.

    Raises:
        ValueError: it is something else.
    """
    import numpy as np

    found = NPY.match(content)
    if found is None or struct.unpack("<H", found.group(1))[0] + 10 != found.end():
        raise ValueError("an array in another form than voxc's")
    dtype = {b"|i1": np.int8, b"<f4": np.float32}.get(found.group(2))
    if dtype is None:
        raise ValueError("an array of another type than int8 and float32")
    shape = tuple(int(size) for size in found.group(3).split(b",") if size.strip())
    return np.frombuffer(content, dtype, offset=found.end()).reshape(shape)


# The bundle -----------------------------------------------------------------------------------------------------------


class Bundle:
    """A bundle directory by its manifest, which is believed only as far as files have the hashes that it lists."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.checked: Set[Path] = set()
        path = directory / "manifest.json"
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            self.target: Dict[str, Any] = manifest["build"]["target"]
            self.components: List[Dict[str, Any]] = manifest["build"]["components"]
            self.reference: Dict[str, Any] = manifest["measurements"]["reference"]
            self.devices: List[Dict[str, Any]] = manifest["measurements"].get("devices", [])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{path}: not a manifest of a bundle ({error!r})") from error

    def file(self, record: Dict[str, Any]) -> Path:
        """The path of a file whose bytes are those of the manifest."""
        relative = Path(record["path"])
        if relative.is_absolute() or ".." in relative.parts:
            raise BundleError(f"{relative}: leads out of the bundle")
        path = self.directory / relative
        if path in self.checked:
            return path
        try:
            digest = hashed(path)
        except OSError as error:
            raise BundleError(f"{path}: not readable ({error.strerror})") from error
        if digest != record["sha256"]:
            raise BundleError(f"{path}: its SHA-256 is not the manifest's")
        self.checked.add(path)
        return path

    def chosen(self, names: Sequence[str]) -> List[Dict[str, Any]]:
        """The components called `names`, all of them if there are no names."""
        there = [component["name"] for component in self.components]
        for name in names:
            if name not in there:
                raise BundleError(f"the bundle has no component {name}; it has {listed(there)}")
        return [component for component in self.components if not names or component["name"] in names]

    def tensors(self, component: Dict[str, Any], part: str) -> Arrays:
        """The reference tensors of a component's `inputs` or `outputs`, as their specs describe them."""
        np = need(["numpy"], "pip install numpy")
        arrays = {}
        file = self.file(self.reference)
        try:
            with np.load(str(file), allow_pickle=False) as archive:
                for spec in component[part]:
                    array = archive[f"{component['name']}/{spec['name']}"]
                    arrays[spec["name"]] = np.ascontiguousarray(array, dtype=spec["dtype"])
        except (OSError, ValueError, KeyError) as error:
            raise BundleError(f"{file}: not the reference tensors of the manifest ({error})") from error
        return arrays


# Measuring ------------------------------------------------------------------------------------------------------------


def compare(expected: Arrays, found: Arrays, bound: float) -> Dict[str, Any]:
    """The worst signal-to-noise ratio in dB of the outputs, the difference being the noise and the signal what the
    reference does around its mean, and their largest difference. A ratio is null where outputs are equal, or not
    finite; then the difference is null as well."""
    import numpy as np

    ratios, largest = [], 0.0
    for name, reference in expected.items():
        if name not in found:
            raise BundleError(f"the runtime gives {listed(found)}, not {name}")
        wanted = np.asarray(reference, np.float64)
        given = np.asarray(found[name], np.float64).reshape(wanted.shape)
        if not np.isfinite(given).all():
            return {"snr_db": None, "max_abs_error": None, "passed": False}
        largest = max(largest, float(np.abs(wanted - given).max()))
        noise, signal = np.sum((wanted - given) ** 2), np.sum((wanted - wanted.mean()) ** 2)
        if noise > 0:
            ratios.append(float(10 * np.log10(signal / noise)) if signal > 0 else -1e9)
    worst = min(ratios) if ratios else None
    return {"snr_db": worst, "max_abs_error": largest, "passed": worst is None or worst >= bound}


def time_runs(run: Run, inputs: Arrays, runs: int, seconds: float, warm_up: int, tell: "Teller") -> Dict[str, Any]:
    """Percentiles in ms of `runs` runs, or of as many as begin in `seconds`, but at least one."""
    import numpy as np

    for index in range(warm_up):
        tell(f"warming up, run {index + 1}")
        run(inputs)
    taken: List[float] = []
    while len(taken) < runs and (not taken or sum(taken) < seconds):
        tell(f"timing, run {len(taken) + 1}")
        started = time.perf_counter()
        run(inputs)
        taken.append(time.perf_counter() - started)
    named = {"median": 50, "p90": 90, "p99": 99, "min": 0}
    latency = {name: float(np.percentile(taken, at) * 1e3) for name, at in named.items()}
    return {"latency_ms": latency, "runs": len(taken), "warm_up": warm_up}


class Teller:
    """Progress of one component on stderr: every step, and within a step no more than a few lines a second."""

    def __init__(self, component: str) -> None:
        self.component, self.step, self.last = component, "", 0.0

    def __call__(self, message: str) -> None:
        step, now = message.split(",")[0], time.monotonic()
        if step != self.step or now - self.last >= TOLD_EVERY:
            self.step, self.last = step, now
            sys.stderr.write(f"{PROGRESS}{self.component}: {message}\n")
            sys.stderr.flush()


def measure_component(bundle: Bundle, runtime: Runtime, component: Dict[str, Any], asked: Any) -> Dict[str, Any]:
    tell = Teller(component["name"])
    tell("checking files")
    main, *_ = [bundle.file(record) for record in component["files"]]
    result: Dict[str, Any] = {}
    if runtime.builds or asked.command == "build":
        result["engine"] = runtime.build(bundle, component, asked, tell)
    if asked.command == "build":
        return result
    inputs = bundle.tensors(component, "inputs")
    tell("loading")
    started = time.perf_counter()
    run = runtime.load(main, component)
    result["load_s"] = time.perf_counter() - started
    if asked.command in ("measure", "run"):
        tell("comparing")
        result.update(compare(bundle.tensors(component, "outputs"), run(inputs), component["min_snr_db"]))
    if asked.command in ("measure", "bench"):
        result.update(time_runs(run, inputs, asked.runs, asked.seconds, asked.warm_up, tell))
    try:
        result["placements"], result["cost_shares"] = runtime.placements(main)
    except PlacementError as error:
        result["no_placements"] = str(error)
    return result


# The machine ----------------------------------------------------------------------------------------------------------


def describe_machine() -> Dict[str, Any]:
    return {
        "model": machine_model(),
        "cpu": cpu_name(),
        "architecture": platform.machine(),
        "cores": usable_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / float(1 << 30), 1),
        "system": system_name(),
        "python": platform.python_version(),
        "integer_features": integer_features(),
    }


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_model() -> str:
    """What its maker calls the machine; empty where the OS does not tell."""
    if sys.platform == "darwin":
        return said(["sysctl", "-n", "hw.model"])
    return read("/proc/device-tree/model")


def cpu_name() -> str:
    if sys.platform == "darwin":
        return said(["sysctl", "-n", "machdep.cpu.brand_string"])
    for line in read("/proc/cpuinfo").splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


#: What Linux and macOS call the instructions for products of 8-bit integers, and what the field does.
INTEGER_FLAGS = {
    "avx2": "AVX2", "avx512bw": "AVX-512", "avx_vnni": "AVX-VNNI", "avx512_vnni": "AVX512-VNNI",
    "avx_vnni_int8": "AVX-VNNI-INT8", "amx_int8": "AMX-INT8", "asimddp": "dot product", "i8mm": "I8MM",
}  # fmt: skip
MAC_INTEGER_FLAGS = {
    "hw.optional.avx2_0": "AVX2", "hw.optional.avx512bw": "AVX-512", "hw.optional.avx512vnni": "AVX512-VNNI",
    "hw.optional.arm.FEAT_DotProd": "dot product", "hw.optional.arm.FEAT_I8MM": "I8MM",
}  # fmt: skip


def integer_features() -> List[str]:
    """The CPU's instructions for products of 8-bit integers."""
    if sys.platform == "darwin":
        return [name for flag, name in MAC_INTEGER_FLAGS.items() if said(["sysctl", "-n", flag]) == "1"]
    flags = set(read("/proc/cpuinfo").split())
    return [name for flag, name in INTEGER_FLAGS.items() if flag in flags]


def system_name() -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return f"{platform.system()} {platform.release()}"


def conditions() -> Dict[str, str]:
    """What the OS tells of power mode, clocks and temperature right now; several values are those of several parts."""
    found = mac_conditions() if sys.platform == "darwin" else linux_conditions()
    return {name: value for name, value in found.items() if value}


def mac_conditions() -> Dict[str, str]:
    found = {}
    for line in said(["pmset", "-g"]).splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] in ("lowpowermode", "powermode"):
            found[words[0]] = words[1]
    source = said(["pmset", "-g", "batt"]).split("'")
    if len(source) > 1:
        found["power_source"] = source[1]
    return found


def linux_conditions() -> Dict[str, str]:
    cpu = "devices/system/cpu/cpufreq/policy*/scaling_"
    return {
        "governor": " ".join(tell_all(cpu + "governor")),
        "cpu_clock_mhz": scaled(tell_all(cpu + "cur_freq"), 1e3),
        "cpu_clock_max_mhz": scaled(tell_all(cpu + "max_freq"), 1e3),
        "gpu_clock_mhz": scaled(tell_all("class/devfreq/*.g*/cur_freq"), 1e6),  # 57000000.gpu, 17000000.ga10b
        "temperature_c": scaled(tell_all("class/thermal/thermal_zone*/temp"), 1e3),
        "nvpmodel": " ".join(said(["nvpmodel", "-q"]).split()),  # Jetson
        "throttled": said(["vcgencmd", "get_throttled"]),  # Raspberry Pi
    }


def tell_all(pattern: str) -> List[str]:
    """What the files of sysfs that match say."""
    return [text for text in (read(str(path)) for path in sorted(SYSFS.glob(pattern))) if text]


def scaled(numbers: List[str], unit: float) -> str:
    return " ".join(f"{int(number) / unit:g}" for number in numbers if number.isdigit())


def read(path: str) -> str:
    """A small file of the OS; empty if there is none."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""


def said(command: List[str]) -> str:
    """What a tool of the OS prints; empty if there is none, or it fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""


# The command ----------------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str]) -> Any:
    parser = argparse.ArgumentParser(description="Runs and times a voxc bundle on this machine; prints JSON.")
    parser.add_argument("command", choices=("measure", "run", "bench", "build"))
    here = Path(__file__).parent
    parser.add_argument("bundle", nargs="?", default=here, help="a bundle directory (default: that of this file)")
    parser.add_argument("--component", action="append", default=[], help="only this one; may be given several times")
    parser.add_argument("--threads", type=int, help="of the runtime (default: the target's, else all cores)")
    parser.add_argument("--compute-units", help="of Core ML or MLX (default: the target's)")
    parser.add_argument("--engines", help="a directory for engines of TensorRT (default: the bundle)")
    parser.add_argument(
        "--timings", help="a file for TensorRT's timings of kernels (default: in the user's cache directory)"
    )
    parser.add_argument("--runs", type=int, default=100, help="how many to time at most (default: 100)")
    parser.add_argument("--seconds", type=float, default=10.0, help="for how long to begin runs (default: 10)")
    parser.add_argument("--warm-up", type=int, default=2, help="untimed runs before (default: 2)")
    return parser.parse_args(arguments)


def work(asked: Any) -> Dict[str, Any]:
    """The document that is printed, but for what every one has."""
    bundle = Bundle(Path(asked.bundle))
    backend = bundle.target["backend"]
    if backend not in RUNTIMES:
        raise BundleError(f"the agent has no runtime {backend}; it has {listed(RUNTIMES)}")
    numpy = need(["numpy"], "pip install numpy")
    runtime = RUNTIMES[backend](bundle.target, asked.threads, asked.compute_units)
    components = {}
    for component in bundle.chosen(asked.component):
        components[component["name"]] = measure_component(bundle, runtime, component, asked)
        gc.collect()  # one network in memory at a time
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, but bytes on macOS
    return {
        "runtime": dict(runtime.versions, numpy=numpy.__version__),
        "settings": runtime.settings,
        "components": components,
        "peak_memory_mib": peak / float(1 << 20 if sys.platform == "darwin" else 1 << 10),
        "conditions": conditions(),
    }


def own_stdout() -> IO[str]:
    """The stdout that there was; what anything else writes to it from now on goes to stderr."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream


def main(arguments: Sequence[str]) -> int:
    asked = parse(arguments)
    stdout = own_stdout()
    document: Dict[str, Any] = {"agent": PROTOCOL, "host": socket.gethostname(), "machine": describe_machine()}
    try:
        document.update(work(asked))
        code = PASSED if all(each.get("passed", True) for each in document["components"].values()) else FAILED
    except AgentError as error:
        document["error"] = {"kind": error.kind, "message": str(error)}
        code = error.exit_code
    stdout.write(json.dumps(document, indent=2 if stdout.isatty() else None, sort_keys=True, allow_nan=False) + "\n")
    stdout.flush()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
