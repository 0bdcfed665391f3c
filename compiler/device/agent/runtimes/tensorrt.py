"""TensorRT: engines of a kit, built where they run."""

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from voxc.backends.tensorrt.device.builder import Builder
from voxc.backends.tensorrt.device.cuda import Cuda
from voxc.backends.tensorrt.device.design import CACHE, ENGINE, IDENTITY, RECIPE, Design
from voxc.backends.tensorrt.device.engine import Engine
from voxc.backends.tensorrt.device.packed_weights import PACKED
from voxc.backends.tensorrt.device.timings import timings_file
from voxc.compiler.core.device_errors import BundleError, MachineError, SettingError
from voxc.compiler.device.agent.bundle import Bundle, hashed
from voxc.compiler.device.agent.need import need
from voxc.compiler.device.agent.progress import Progress
from voxc.compiler.device.agent.runtime import Run, Runtime


class Kit:
    """What the engine of a component is built of, and its place.

    That is beside the ONNX file, or the same path below the directory `engines`.
    """

    def __init__(self, bundle: Bundle, component: Dict[str, Any], engines: Optional[Path]) -> None:
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
        """The precisions of layers; empty, which is float32 for all, if there is no file.

        Raises:
            BundleError: a file is not a recipe.
        """
        recipe: Dict[str, Any] = {}
        for file in files:
            try:
                recipe.update(json.loads(file.read_text(encoding="utf-8")))
            except (ValueError, TypeError) as error:
                raise BundleError(f"{file}: not a recipe of an engine ({error})") from error
        return recipe

    def stated(self) -> Dict[str, Any]:
        """Where and of what the engine at its place was built, by the file beside it; empty if there is none."""
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
        """Writes an engine whole or not at all, and its identity beside it.

        Raises:
            SettingError: the directory cannot be written.
        """
        partial = self.place.with_suffix(ENGINE + ".partial")
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(plan)
            partial.replace(self.place)
            self.place.with_suffix(IDENTITY).write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise SettingError(f"{self.place}: cannot be written ({error.strerror}); see --engines") from error


class TensorRt(Runtime):
    """TensorRT from 8.2 on: engines that are built here of the kit's ONNX files."""

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
            self.library, self.here, timings_file(self.here), lambda message: sys.stderr.write(message + "\n")
        )
        self.engines: Dict[Path, Path] = {}

    def build(self, bundle: Bundle, component: Dict[str, Any], options: Any, progress: Progress) -> Dict[str, Any]:
        kit = Kit(bundle, component, Path(options.engines) if options.engines else None)
        progress("looking for an engine")
        if kit.place.exists():
            complaint = self.complaint(kit)
            if not complaint:
                return self.chosen(kit, kit.place, {})
            if options.command != "build":
                raise MachineError(f"{kit.place}: {complaint}; `agent.pyz build` builds it anew")
            progress(f"{complaint}: building anew")
        else:
            for identity, record in kit.listed():
                if self.differs(identity) is None and (bundle.directory / record["path"]).exists():
                    return self.chosen(kit, bundle.file(record), {})
        progress("building the engine")
        started = time.perf_counter()
        if options.timings:
            self.builder.timings = Path(options.timings)
        workspace = self.builder.workspace(self.cuda.free, kit.memory_mib)
        plan = self.builder.build(kit.design, workspace, progress)
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


RUNTIME = TensorRt
