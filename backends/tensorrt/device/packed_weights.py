"""Weights in 8 bits, which a kit has in the place of floats.

A kit's ONNX file may leave out weights, which it looks for in a file beside it: its own name, followed by DATA. The kit
has them in an archive, the stem followed by PACKED: for each weight numbers of 8 bits, and float32 scales along one of
their axes, in NPZ as voxc writes it. The float32 weights lie one after the other in the order of their names.
"""

import contextlib
import itertools
import re
import shutil
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple

from voxc.compiler.core.device_errors import BundleError, SettingError

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
        BundleError: see `read_packed`.
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
                    for _, numbers, scales in read_packed(packed):
                        stream.write((numbers.astype("<f4") * scales).tobytes())
            except OSError as error:
                raise SettingError(f"{directory}: cannot hold the weights of {onnx.name} ({error.strerror})") from error
        yield place


def read_packed(file: Path) -> Iterator[Tuple[str, Any, Any]]:
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

    header = NPY.match(content)
    if header is None or struct.unpack("<H", header.group(1))[0] + 10 != header.end():
        raise ValueError("an array in another form than voxc's")
    dtype = {b"|i1": np.int8, b"<f4": np.float32}.get(header.group(2))
    if dtype is None:
        raise ValueError("an array of another type than int8 and float32")
    shape = tuple(int(size) for size in header.group(3).split(b",") if size.strip())
    return np.frombuffer(content, dtype, offset=header.end()).reshape(shape)
