"""Reads a `.mlpackage` from disk: its manifest, its model, and where its weights are.

A package comes from anyone: paths stay within it, sizes and offsets are checked before anything is read by them, and
what is wrong is an error that names the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from voxc.backends.coreml.mil import Feature, Function, MilProgram
from voxc.backends.coreml.proto import ProgramReader
from voxc.compiler.core.errors import BundleError

MANIFEST = "Manifest.json"
DATA = "Data"
MAX_MANIFEST_BYTES = 1 << 20
MAX_MODEL_BYTES = 1 << 29
#: Names of array dtypes in a model's description.
FEATURE_DTYPES = {65568: "float32", 65600: "float64", 131104: "int32", 131080: "int8", 65552: "float16"}


def read_program(package: Path) -> MilProgram:
    """The ML program in a package; weights are read from disk when their constants are.

    Raises:
        BundleError: not a package with an ML program, or one that contradicts itself.
    """
    file = model_file(package)
    model = parse_model(file)
    if model.WhichOneof("Type") != "mlProgram":
        raise BundleError(f"{file}: holds {model.WhichOneof('Type') or 'nothing'}, not an ML program")
    if not model.mlProgram.functions:
        raise BundleError(f"{file}: an ML program without functions")
    reader = ProgramReader(file, lambda path: inside(package, file.parent, path))
    functions = {name: reader.function(name, function) for name, function in sorted(model.mlProgram.functions.items())}
    described = descriptions(model, functions, file)
    default = model.description.defaultFunctionName or ("main" if "main" in functions else next(iter(functions)))
    if default not in functions:
        raise BundleError(f"{file}: the default function {default} is not in the program")
    return MilProgram(described, default, model.specificationVersion, metadata_of(model.description.metadata))


def model_file(package: Path) -> Path:
    """The file in a package that holds the model.

    Raises:
        BundleError: the manifest is missing or broken, or points outside of the package.
    """
    manifest = package / MANIFEST
    try:
        if manifest.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{manifest}: larger than {MAX_MANIFEST_BYTES} bytes")
        content = json.loads(manifest.read_bytes())
        path = content["itemInfoEntries"][content["rootModelIdentifier"]]["path"]
    except OSError as error:
        raise BundleError(f"{manifest}: cannot be read ({error.strerror or error}); not a Core ML package") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{manifest}: not the manifest of a Core ML package ({error!r})") from error
    if not isinstance(path, str):
        raise BundleError(f"{manifest}: the model's path is not a text")
    return inside(package, package / DATA, path)


def inside(package: Path, folder: Path, path: str) -> Path:
    """`path` in `folder`, links followed.

    Raises:
        BundleError: it is not a file within the package.
    """
    try:
        root = package.resolve()
        place = (folder / path).resolve()
        if not place.is_relative_to(root):
            raise BundleError(f"{package}: {path!r} leads out of the package")
        if not place.is_file():
            raise BundleError(f"{package}: has no file {path!r}")
    except (OSError, ValueError, RuntimeError) as error:  # a loop of links, a NUL in the name, a name too long
        raise BundleError(f"{package}: {path!r} is not a path ({error})") from error
    return place


def parse_model(file: Path) -> Any:
    from google.protobuf.message import DecodeError

    from voxc.backends.coreml.sdk import proto

    try:
        if file.stat().st_size > MAX_MODEL_BYTES:
            raise BundleError(f"{file}: larger than {MAX_MODEL_BYTES >> 20} MiB without its weights")
        return proto.Model_pb2.Model.FromString(file.read_bytes())
    except OSError as error:
        raise BundleError(f"{file}: cannot be read ({error.strerror or error})") from error
    except DecodeError as error:
        raise BundleError(f"{file}: not a Core ML model ({error})") from error


def descriptions(model: Any, functions: dict[str, Function], file: Path) -> dict[str, Function]:
    """The functions with what the package says of each from outside."""
    told = {entry.name: entry for entry in model.description.functions}
    if not told:
        (name, *others) = functions
        if others:
            raise BundleError(f"{file}: several functions, and inputs described for none of them")
        told = {name: model.description}
    missing = sorted(functions.keys() ^ told.keys())
    if missing:
        raise BundleError(f"{file}: {', '.join(missing)} is not both described and there")
    return {
        name: Function(
            name,
            function.opset,
            function.arguments,
            function.block,
            tuple(feature_of(feature, file) for feature in told[name].input),
            tuple(feature_of(feature, file) for feature in told[name].output),
            tuple(feature_of(feature, file) for feature in told[name].state),
        )
        for name, function in functions.items()
    }


def feature_of(feature: Any, file: Path) -> Feature:
    """An input or output. Those that are no arrays (images, dictionaries) have their kind as the dtype."""
    kind = feature.type.WhichOneof("Type")
    if kind not in ("multiArrayType", "stateType"):
        return Feature(feature.name, str(kind), (), feature.shortDescription)
    array = feature.type.multiArrayType if kind == "multiArrayType" else feature.type.stateType.arrayType
    if array.dataType not in FEATURE_DTYPES:
        raise BundleError(f"{file}: {feature.name} has the unknown array type {array.dataType}")
    return Feature(
        feature.name,
        FEATURE_DTYPES[array.dataType],
        tuple(array.shape),
        feature.shortDescription,
        shapes=tuple(tuple(shape.shape) for shape in array.enumeratedShapes.shapes),
        ranges=tuple(
            (size.lowerBound, size.upperBound if size.upperBound >= 0 else None) for size in array.shapeRange.sizeRanges
        ),
        optional=feature.type.isOptional,
    )


def metadata_of(metadata: Any) -> dict[str, str]:
    told = {
        "shortDescription": metadata.shortDescription,
        "versionString": metadata.versionString,
        "author": metadata.author,
        "license": metadata.license,
    }
    return {key: text for key, text in told.items() if text} | dict(sorted(metadata.userDefined.items()))
