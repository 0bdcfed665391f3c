"""What a TFLite file holds, read back from its bytes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from voxc.backends.tflite.file import DTYPES, IDENTIFIER, RUNTIME_KEY
from voxc.compiler.core.errors import BundleError

CODES = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
NAMES = {number: name for name, number in DTYPES.items()}


def read_model(file: Path) -> Any:
    """The root of the file; its parts are read where they are asked for.

    Raises:
        BundleError: not a TFLite file.
    """
    content = file.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise BundleError(f"{file}: not a TFLite file; compile the voice again")
    return schema.Model.GetRootAs(content)


def count_operators(file: Path) -> Mapping[str, Mapping[str, int]]:
    """How many operators of each type compute in what: `{"CONV_2D": {"int8": 72, "fp32": 3}}`.

    `w8` takes real activations and integer weights; operators on indices and truth values count as what these are.
    """
    model = read_model(file)
    graph = model.Subgraphs(0)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for place in range(graph.OperatorsLength()):
        operator = graph.Operators(place)
        name = CODES[model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()]
        counts[name][arithmetic(graph, operator)] += 1
    return {name: dict(sorted(counts[name].items())) for name in sorted(counts)}


def runtime_of(file: Path) -> str:
    """The oldest TensorFlow Lite that runs the file, as `2.9.0`; what the file itself says.

    Raises:
        BundleError: it does not say.
    """
    model = read_model(file)
    for place in range(model.MetadataLength()):
        entry = model.Metadata(place)
        if entry.Name() == RUNTIME_KEY.encode():
            text: str = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes().rstrip(b"\0").decode()
            return text
    raise BundleError(f"{file}: does not say which runtime it needs; compile the voice again")


def arithmetic(graph: Any, operator: Any) -> str:
    """What an operator computes in."""
    given = [graph.Tensors(index) for index in operator.InputsAsNumpy() if index >= 0]
    types = {NAMES[tensor.Type()] for tensor in given}
    result = NAMES[graph.Tensors(operator.Outputs(0)).Type()]
    if result == "float32":
        mixed = "float32" in types and "int8" in types
        return "w8" if mixed else "int8" if "int8" in types else "fp16" if "float16" in types else "fp32"
    return result
