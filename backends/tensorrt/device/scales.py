"""Scales for int8 that is not in the ONNX file, as TensorRT's calibrators keep them."""

import re
from typing import Any, Sequence, Set

from voxc.compiler.core.device_errors import BundleError

CALIBRATOR = "IInt8EntropyCalibrator2"


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
