"""MLX."""

import struct
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Dict, Optional

from voxc.compiler.core.device_errors import SettingError
from voxc.compiler.device.agent.bundle import Arrays
from voxc.compiler.device.agent.need import need
from voxc.compiler.device.agent.runtime import Run, Runtime


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
            raise SettingError(f"compute units {units}: MLX has {', '.join(self.devices)}")
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

        def call(arguments: Arrays) -> Any:
            return tuple(function(**arguments))

        if self.device == "gpu":  # for CPUs it would call g++ for every few operations
            call = mx.compile(call)

        def run(inputs: Arrays) -> Arrays:
            results = call(dict(weights, **{name: mx.array(array) for name, array in inputs.items()}))
            mx.eval(results)
            return {name: np.array(array) for name, array in zip(outputs, results)}

        return run

    def imported(self, content: bytes) -> Any:
        """The function of a file, moved to this runtime's device."""

        def stream(device: str) -> bytes:
            return b"voxc" + struct.pack("<2i", self.numbers[device], 0)

        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory) / "model.mlxfn"
            place.write_bytes(content.replace(stream("gpu"), stream(self.device)))
            return self.library.import_function(str(place))


RUNTIME = Mlx
