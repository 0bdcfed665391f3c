"""TensorRT's calibration cache: the scale of each tensor of a network, as its builder writes and reads them.

The file is text. The first line has the version and the calibrator, every other one a tensor and the bits of its scale,
a big-endian float32 in hexadecimal; the scale is the largest magnitude that the integers reach, divided by 127:

    TRT-8201-EntropyCalibration2
    phone: 3c010a14

Sources: "Calibration file" in the README of NVIDIA's sampleINT8, which defines the scale; NVIDIA/TensorRT issue 625;
caches of TensorRT 7.1 to 10.3 in public repositories (`TRT-7103`, `TRT-8502`, `TRT-100300`). A builder of another
version than the header's takes the cache for stale and calibrates anew, for which a board has no data.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from voxc.backends.onnx.dialect import PLAIN, Dialect
from voxc.backends.onnx.emitter import lower
from voxc.compiler.core.errors import BundleError, CompileError, OutputError
from voxc.compiler.core.nodes import is_float, is_weight
from voxc.compiler.core.plan import Range
from voxc.compiler.core.program import Program

SUFFIX = ".calibration.cache"
CALIBRATOR = "EntropyCalibration2"
INTEGERS = 127
#: Of a tensor that is zero throughout, for which any scale does but none, which no builder takes.
SCALE_OF_ZEROS = 1.0
MAX_CACHE_BYTES = 1 << 24
HEADER = re.compile(r"TRT-([1-9][0-9]{3}|[1-9][0-9]{5})-([A-Za-z0-9]+)")
LINE = re.compile(r"(.+): ([0-9a-f]{8})")
VERSION = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{1,2})(\.[0-9]+)?")
#: From this major version on, `getInferLibVersion` has two digits for the minor one.
FIRST_LONG_VERSION = 10


@dataclass(frozen=True)
class CalibrationCache:
    """Scales by tensor for a TensorRT of `version`, as `8.2.1`."""

    version: str
    scales: Mapping[str, float]

    @property
    def text(self) -> str:
        """What TensorRT reads.

        Raises:
            CompileError: a name or a scale that the format cannot hold, or no version.
        """
        lines = [f"TRT-{version_number(self.version)}-{CALIBRATOR}"]
        for name, scale in self.scales.items():
            if not name or not name.isprintable():
                raise CompileError(f"TensorRT {self.version}: a calibration cache cannot hold the tensor name {name!r}")
            if not is_scale(scale):
                raise CompileError(f"TensorRT {self.version}: {name}: {scale:g} is no scale for a calibration cache")
            lines.append(f"{name}: {bits_of(scale)}")
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str, where: str) -> CalibrationCache:
        """The cache in a text from anyone; errors name `where` it is from.

        Raises:
            BundleError: not a cache of an entropy calibrator, or a line that is none or says what is no scale.
        """
        header, *lines = text.removesuffix("\n").split("\n")
        found = HEADER.fullmatch(header)
        if found is None or found[2] != CALIBRATOR:
            raise BundleError(f"{where}: no calibration cache: begins with {header[:60]!r}, not TRT-8201-{CALIBRATOR}")
        scales: dict[str, float] = {}
        for number, line in enumerate(lines, start=2):
            parts = LINE.fullmatch(line)
            if parts is None or not parts[1].isprintable():
                raise BundleError(f"{where}: line {number}: {line[:60]!r} is no tensor with eight hexadecimal digits")
            name, scale = parts[1], scale_of_bits(parts[2])
            if name in scales:
                raise BundleError(f"{where}: line {number}: {name} a second time")
            if not is_scale(scale):
                raise BundleError(f"{where}: line {number}: {name}: {scale:g} is no scale")
            scales[name] = scale
        if not scales:
            raise BundleError(f"{where}: a calibration cache without scales")
        return cls(version_of(int(found[1])), scales)


def write_cache(path: Path, cache: CalibrationCache) -> Path:
    """Writes a cache and gives its path; the same scales give the same bytes.

    Raises:
        CompileError: see `CalibrationCache.text`.
        OutputError: the place cannot be written.
    """
    text = cache.text
    try:
        path.write_bytes(text.encode("utf-8"))
        return path
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def cache_file(onnx_file: Path) -> Path:
    """Where the cache for an ONNX file lies."""
    return onnx_file.with_suffix(SUFFIX)


def read_cache(path: Path) -> CalibrationCache:
    """The cache in a file from anyone.

    Raises:
        BundleError: unreadable, too large, or see `CalibrationCache.parse`.
    """
    try:
        if path.stat().st_size > MAX_CACHE_BYTES:
            raise BundleError(f"{path}: larger than {MAX_CACHE_BYTES >> 20} MiB, which no calibration cache is")
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: not readable as a calibration cache ({error})") from error
    return CalibrationCache.parse(text, str(path))


def scales_of_plan(
    program: Program, opset: int, dialect: Dialect = PLAIN, there: Container[str] | None = None
) -> dict[str, float]:
    """The scales of the activations that the program's plan has ranges of, by their names in its ONNX file; only of
    those that are `there`, if given: the simplifier takes some away.

    Names are those of the file without integers too, but for outputs: with integers, those are what is dequantized.
    """
    scales = named_scales(tensor_names(program, opset, dialect), program.plan.ranges)
    return {name: scale for name, scale in scales.items() if there is None or name in there}


def named_scales(names: Mapping[str, str], ranges: Mapping[str, Range]) -> dict[str, float]:
    return {name: scale_of(ranges[node]) for node, name in names.items() if node in ranges}


def tensor_names(program: Program, opset: int, dialect: Dialect = PLAIN) -> dict[str, str]:
    """What float32 activations are called in the ONNX file, by node; of several nodes for one tensor, the first."""
    values = lower(program, opset, dialect).values
    names: dict[str, str] = {}
    for node in program.graph.nodes:
        name = values.get(node)
        if isinstance(name, str) and is_float(node) and not is_weight(program, node):
            names.setdefault(name, node.name)
    return {node: name for name, node in names.items()}


def scale_of(bounds: Range) -> float:
    """The scale of symmetric 8-bit integers that reach both bounds, as float32 has it."""
    reach = max(-bounds[0], bounds[1])
    scale = float(struct.unpack(">f", struct.pack(">f", reach / INTEGERS))[0])
    return scale if is_scale(scale) else SCALE_OF_ZEROS


def is_scale(scale: float) -> bool:
    return math.isfinite(scale) and scale > 0


def bits_of(scale: float) -> str:
    return struct.pack(">f", scale).hex()


def scale_of_bits(digits: str) -> float:
    return float(struct.unpack(">f", bytes.fromhex(digits))[0])


def version_number(version: str) -> int:
    """The number that TensorRT gives itself: 8.2.1 is 8201, 10.3.0 is 100300.

    Raises:
        CompileError: not three numbers; a release more or less is another header, and the cache is not taken.
    """
    found = VERSION.fullmatch(version)
    if found is None:
        raise CompileError(f"TensorRT {version}: a calibration cache is for one release, such as 8.2.1; say which")
    major, minor, patch = (int(part) for part in found.groups()[:3])
    return (major * 100 if major >= FIRST_LONG_VERSION else major * 10) * 100 + minor * 100 + patch


def version_of(number: int) -> str:
    """The version behind a number of `version_number`."""
    minor_digits = 100 if number >= FIRST_LONG_VERSION * 10_000 else 10
    rest, patch = divmod(number, 100)
    return f"{rest // minor_digits}.{rest % minor_digits}.{patch}"
