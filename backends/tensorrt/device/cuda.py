"""The CUDA runtime by its C interface."""

import contextlib
import ctypes
import itertools
import sys
from pathlib import Path
from typing import Any, ClassVar, Dict, Sequence

from voxc.compiler.core.device_errors import MachineError, MissingError


class Cuda:
    """The part of the CUDA runtime that engines need, by its shared library.

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
        """The library: JetPack's has a plain name, those of Python packages lie below site-packages."""
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
        result = ctypes.c_int(0)
        self(name, ctypes.byref(result), *arguments)
        return result.value

    def pointer(self, name: str, *arguments: Any) -> int:
        """The address of what a function makes."""
        result = ctypes.c_void_p(None)
        self(name, ctypes.byref(result), *arguments)
        return result.value or 0

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
        """Free memory of the GPU in bytes; a board shares it with the CPU."""
        free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
        self("MemGetInfo", ctypes.byref(free), ctypes.byref(total))
        return free.value
