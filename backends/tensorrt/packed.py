"""Weights of 8 bits beside an ONNX file that speaks of floats, for engines that compute in floats all the same.

They make a kit smaller, and nothing else. The ONNX file says, by external data, that they are floats in a file beside
it, `<component>.onnx.data`. The kit has `<component>.weights.npz` in its place, and the agent, whose code is used here
too, makes the one of the other for as long as it takes to build an engine.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voxc.backends.tensorrt.device import packed_weights
from voxc.compiler.core import device_errors
from voxc.compiler.core.errors import BundleError, OutputError, UnsupportedError
from voxc.compiler.core.tensor import write_npz

if TYPE_CHECKING:
    from onnx import TensorProto

    from voxc.backends.onnx.builder import Packed

FLOAT_BYTES = 4
#: Where weights are floats for a while.
SCRATCH = Path(tempfile.gettempdir())


def pack(onnx_file: Path, weights: Mapping[str, Packed]) -> list[Path]:
    """Takes those of an ONNX file's initializers that are `weights`, by name and value, out of it; gives the file that
    they are in then, if there are any.

    Raises:
        UnsupportedError: the file is too large to have its weights inside.
    """
    import onnx

    model = onnx.load(onnx_file, load_external_data=False)
    if weights and any(tensor.external_data for tensor in model.graph.initializer):
        raise UnsupportedError(f"{onnx_file.stem}: weights of 2 GiB and more cannot be emulated in 8 bits; use fp16")
    there = {tensor.name: tensor for tensor in model.graph.initializer if is_packed(tensor, weights)}
    if not there:
        return []
    for name, place in places(onnx_file, {name: weights[name].numbers.size for name in there}).items():
        point(there[name], place)
    onnx.save_model(model, onnx_file)
    file = packed_file(onnx_file)
    arrays = {packed_weights.NUMBERS + name: weights[name].numbers for name in there}
    write_npz(file, arrays | {packed_weights.SCALES + name: weights[name].scales for name in there})
    return [file]


def packed_file(onnx_file: Path) -> Path:
    """Where the packed weights of an ONNX file are, if it has any."""
    return onnx_file.with_name(onnx_file.stem + packed_weights.PACKED)


def is_packed(tensor: TensorProto, weights: Mapping[str, Packed]) -> bool:
    from onnx import numpy_helper

    packed = weights.get(tensor.name)
    return packed is not None and np.array_equal(numpy_helper.to_array(tensor), packed.floats)


def places(onnx_file: Path, counts: Mapping[str, int]) -> dict[str, dict[str, str]]:
    """How an ONNX file tells where weights of so many numbers lie: one after the other, in the order of names."""
    found, offset = {}, 0
    for name in sorted(counts):
        length = counts[name] * FLOAT_BYTES
        found[name] = {"location": onnx_file.name + packed_weights.DATA, "offset": str(offset), "length": str(length)}
        offset += length
    return found


def point(tensor: TensorProto, place: Mapping[str, str]) -> None:
    """Makes a tensor point to a place in a file."""
    from onnx import TensorProto

    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in place.items():
        tensor.external_data.add(key=key, value=value)


@contextlib.contextmanager
def whole(onnx_file: Path) -> Iterator[Path]:
    """An ONNX file with all of its weights: itself, or a copy that vanishes behind the block.

    Raises:
        BundleError: see `packed_beside`.
        OutputError: there is no room for the copy.
    """
    packed = packed_beside(onnx_file)
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(packed_weights.whole(onnx_file, packed, SCRATCH))
        except device_errors.SettingError as error:
            raise OutputError(str(error)) from error
        yield place


def packed_beside(onnx_file: Path) -> Path | None:
    """The packed weights of an ONNX file, both from anyone; None if it has no such.

    Raises:
        BundleError: the file asks for others, or for other places, or they are no weights.
    """
    packed = packed_file(onnx_file)
    if not packed.exists():
        return None
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import TensorProto

    try:
        model = onnx.load(onnx_file, load_external_data=False)
        shapes = {name: numbers.shape for name, numbers, _ in packed_weights.read_packed(packed)}
    except (OSError, DecodeError) as error:
        raise BundleError(f"{onnx_file}: not readable as ONNX ({error})") from error
    except device_errors.BundleError as error:
        raise BundleError(str(error)) from error
    found = places(onnx_file, {name: math.prod(shape) for name, shape in shapes.items()})
    there = {name: (shape, TensorProto.FLOAT, found[name]) for name, shape in shapes.items()}
    asked = {tensor.name: told(tensor) for tensor in model.graph.initializer if tensor.external_data}
    for name in sorted({*asked, *there}):
        if asked.get(name) != there.get(name):
            raise BundleError(f"{onnx_file}: {name} is not the weight of that name in {packed.name}")
    return packed


def told(tensor: TensorProto) -> tuple[tuple[int, ...], int, dict[str, str]]:
    """Shape, type and place of a tensor as the file has them."""
    return tuple(tensor.dims), tensor.data_type, {each.key: each.value for each in tensor.external_data}
