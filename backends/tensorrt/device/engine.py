"""Engines that run on NumPy arrays, without PyTorch."""

import weakref
from typing import Any, Dict, Tuple

from voxc.backends.tensorrt.device.bound import Bound
from voxc.backends.tensorrt.device.builder import Builder
from voxc.backends.tensorrt.device.cuda import Cuda
from voxc.compiler.core.device_errors import BundleError

Arrays = Dict[str, Any]


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
        """The host's buffer of a tensor, in the shape that the tensor has now."""
        import numpy as np

        shape = self.bound.shape(name)
        return self.buffers[name][1][: int(np.prod(shape))].reshape(shape)

    def __call__(self, inputs: Arrays) -> Arrays:
        missing = [name for name in self.bound.least if name not in inputs]
        if missing:
            raise BundleError(f"the engine takes {', '.join(missing)}, which the bundle has no reference for")
        for name in self.bound.least:  # TensorRT leaves out what no layer reads
            self.bound.fit(name, inputs[name].shape)
            array = self.array(name)
            array[...] = inputs[name]
            if array.dtype.kind == "i" and (array != inputs[name]).any():
                raise BundleError(f"{name}: the engine takes {array.dtype}, too narrow for what the bundle gives")
            self.copy(self.buffers[name][0], array.ctypes.data, array.nbytes, Cuda.TO_DEVICE)
        self.bound.run(self.stream)
        outputs = {name: self.array(name) for name in self.bound.outputs}
        for name, array in outputs.items():
            self.copy(array.ctypes.data, self.buffers[name][0], array.nbytes, Cuda.TO_HOST)
        self.cuda("StreamSynchronize", self.stream)
        return {name: array.copy() for name, array in outputs.items()}

    def copy(self, to: int, source: int, size: int, way: int) -> None:
        self.cuda("MemcpyAsync", to, source, size, way, self.stream)
