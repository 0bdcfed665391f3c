#!/usr/bin/env python3
"""Runs, compares and times the components of a voxc bundle on the machine that this file is on.

    python3 agent.py measure BUNDLE    run the reference inputs, compare, time
    python3 agent.py run BUNDLE        run and compare
    python3 agent.py bench BUNDLE      time

It needs Python 3.6, NumPy and the runtime of the bundle's files, and nothing of voxc: it is one file so that it can be
copied alone. It prints one JSON document on stdout; stderr has what it is doing, in lines that begin with
`voxc-agent: `, and whatever runtimes say. Nothing that is in a bundle is executed as Python.

Exit codes: 0 done, 1 an output differs too much from the reference, 2 the bundle or a setting cannot be used, 3 this
machine lacks something. Any other failure is Python's traceback, and no document.
"""

import argparse
import gc
import hashlib
import importlib
import json
import os
import platform
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, Callable, ClassVar, Dict, Iterable, List, Optional, Sequence, Tuple, Type

PROTOCOL = 1
PROGRESS = "voxc-agent: "
PASSED, FAILED = 0, 1
TOLD_EVERY = 0.2  # seconds between two progress lines of one step
HASHED_AT_ONCE = 1 << 20
SYSFS = Path("/sys")

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


# Runtimes -------------------------------------------------------------------------------------------------------------


class Runtime:
    """What runs the files of one backend. A runtime that lacks a setting refuses it."""

    name = ""

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


RUNTIMES: Dict[str, Type[Runtime]] = {each.name: each for each in (OnnxRuntime, Tflite, CoreMl, Mlx)}


# The bundle -----------------------------------------------------------------------------------------------------------


class Bundle:
    """A bundle directory by its manifest, which is believed only as far as files have the hashes that it lists."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        path = directory / "manifest.json"
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            self.target: Dict[str, Any] = manifest["build"]["target"]
            self.components: List[Dict[str, Any]] = manifest["build"]["components"]
            self.reference: Dict[str, Any] = manifest["measurements"]["reference"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{path}: not a manifest of a bundle ({error!r})") from error

    def file(self, record: Dict[str, Any]) -> Path:
        """The path of a file whose bytes are those of the manifest."""
        relative = Path(record["path"])
        if relative.is_absolute() or ".." in relative.parts:
            raise BundleError(f"{relative}: leads out of the bundle")
        path = self.directory / relative
        digest = hashlib.sha256()
        try:
            with path.open("rb") as stream:
                for block in iter(lambda: stream.read(HASHED_AT_ONCE), b""):
                    digest.update(block)
        except OSError as error:
            raise BundleError(f"{path}: not readable ({error.strerror})") from error
        if digest.hexdigest() != record["sha256"]:
            raise BundleError(f"{path}: its SHA-256 is not the manifest's")
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
    inputs = bundle.tensors(component, "inputs")
    tell("loading")
    started = time.perf_counter()
    run = runtime.load(main, component)
    result: Dict[str, Any] = {"load_s": time.perf_counter() - started}
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
    parser.add_argument("command", choices=("measure", "run", "bench"))
    parser.add_argument("bundle", help="a bundle directory")
    parser.add_argument("--component", action="append", default=[], help="only this one; may be given several times")
    parser.add_argument("--threads", type=int, help="of the runtime (default: the target's, else all cores)")
    parser.add_argument("--compute-units", help="of Core ML or MLX (default: the target's)")
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
