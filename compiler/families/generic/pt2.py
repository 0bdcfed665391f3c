"""A program of `torch.export.save`, from anyone, as a network.

PyTorch's own reader runs what a file holds: it unpickles sample inputs and constants, evaluates the text of symbolic
sizes, looks up operators by any name below `torch`, executes guards, and writes the names of the graph into Python that
it executes. So it gets a copy of the archive with nothing in it but plain tensors and a graph of known operators.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voxc.compiler.core.archive import BROKEN, names_in
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.generic.network import Network, spec_of

MAX_BYTES = 8 << 30
MAX_JSON_BYTES = 1 << 28
MAX_ELEMENTS = 1 << 30
FORMAT = "archive_format"
MODEL = re.compile(r"models/\w+\.json")
CONFIG = re.compile(r"(data/(?:weights|constants)/)\w+_config\.json")
PLAIN = re.compile(
    r"archive_format|archive_version|byteorder|\.data/\w+|data/weights/weight_\d+|data/constants/tensor_\d+"
)
SAMPLE = re.compile(r"data/sample_inputs/\w+\.pt")
#: But for the one that reads any file of this machine into a tensor.
OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims)\.(?!from_file\.)\w+\.\w+|torch\.sym_\w+|"
    r"_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|pow|neg|eq|ne|ge|le|gt|lt)"
)
#: What the text of a symbolic size may be made of: symbols, numbers, and functions of torch's own.
WORD = re.compile(r"'[suz]\d+'|[A-Za-z_]\w*|\d+(?:\.\d+)?|[-+*/(),= ]+")
NAMES = re.compile(
    r"[suz]\d+|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|IntTrueDiv|FloatTrueDiv|PowByNatural|Pow|Integer|"
    r"floor|ceiling|TruncToInt|ToFloat|Where|Eq|Ne|Ge|Gt|Le|Lt|"
    r"Symbol|Add|Mul|positive|integer|nonnegative|real|True|False"
)
#: What names may be made of: PyTorch writes them into Python as they are.
NAME = re.compile(r"[\w.+]*")
#: Texts that become no Python, or are looked at elsewhere.
NO_NAMES = ("as_string", "expr_str", "target")
#: What PyTorch raises of graphs that it cannot make sense of.
DAMAGE = (
    RuntimeError, ValueError, KeyError, TypeError, AttributeError, AssertionError, IndexError, OverflowError,
    SyntaxError,
)  # fmt: skip


def is_pt2(path: Path) -> bool:
    """Whether `torch.export.save` wrote a file."""
    return any(name.partition("/")[2] == FORMAT for name in names_in(path))


def read_pt2(path: Path, sizes: Mapping[str, int] | None = None) -> Network:
    """The network of an exported program; `sizes` binds the symbols that its inputs leave open.

    Raises:
        CheckpointError: the file is damaged or hostile, has an operator that is not known, or a size is open.
    """
    archive = plain_copy(path)
    try:
        exported = torch.export.load(archive)
    except DAMAGE as error:
        reason = f"PyTorch {torch.__version__} cannot read it ({first(error)})"
        raise CheckpointError(f"{path}: not a program: {reason}") from error
    inputs = bound_inputs(path, exported, sizes or {})
    try:
        module = exported.module(check_guards=False)
        with torch.inference_mode():
            results = module(*inputs.values())
    except DAMAGE as error:
        raise CheckpointError(f"{path}: the program does not run ({first(error)})") from error
    outputs = [results] if isinstance(results, Tensor) else list(results)
    if not all(isinstance(each, Tensor) for each in outputs):
        raise CheckpointError(f"{path}: the program gives what is no tensor; export one that gives tensors alone")
    weights = sum(tensor.numel() for tensor in exported.state_dict.values())
    return Network(
        module,
        tuple(spec_of(name, tensor, "input of the program") for name, tensor in inputs.items()),
        tuple(spec_of(f"output_{place}", each, "output of the program") for place, each in enumerate(outputs)),
        {"format": "pt2", "parameters": weights, "nodes": len(exported.graph.nodes)},
    )


def plain_copy(path: Path) -> io.BytesIO:
    """The archive with nothing in it that PyTorch would run.

    Raises:
        CheckpointError: it is damaged, too large, or holds something else.
    """
    copy = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as plain:
            members = archive.infolist()
            if sum(each.file_size for each in members) > min(MAX_BYTES, 4 * path.stat().st_size + (1 << 20)):
                raise CheckpointError(f"{path}: unpacks to far more than its own size: refused")
            stored = {each.filename.partition("/")[2]: each.file_size for each in members}
            for each in members:
                name = each.filename.partition("/")[2]
                plain.writestr(f"model/{name}", checked(path, name, archive.read(each), stored))
    except (OSError, *BROKEN) as error:
        raise CheckpointError(f"{path}: damaged or not a program of torch.export.save ({first(error)})") from error
    copy.seek(0)
    return copy


def checked(path: Path, name: str, content: bytes, stored: Mapping[str, int]) -> bytes:
    """A member of the archive, without what would be run. `stored` has the bytes of every member.

    Raises:
        CheckpointError: nothing else is left of it.
    """
    if SAMPLE.fullmatch(name):
        return b""  # a pickle, which nobody needs
    if PLAIN.fullmatch(name):
        return content
    if not (MODEL.fullmatch(name) or CONFIG.fullmatch(name)) or len(content) > MAX_JSON_BYTES:
        raise CheckpointError(f"{path}: holds {name[:80]!r}, which is no plain tensor and no graph; refused")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: {name} is not JSON ({first(error)})") from error
    for key, value in entries(document):
        if key == "use_pickle" and value:
            raise CheckpointError(f"{path}: {name} has a tensor that is a pickle; loading it could run code: refused")
        if key == "target" and isinstance(value, str) and not OPERATOR.fullmatch(value):
            raise CheckpointError(f"{path}: calls {value[:80]}, which is no operator of a plain network; refused")
        if key == "expr_str" and not is_size(value):
            raise CheckpointError(f"{path}: has a size {str(value)[:80]!r}, which is no formula; refused")
    if MODEL.fullmatch(name):
        if not isinstance(document, dict):
            raise CheckpointError(f"{path}: {name} is no JSON object")
        document["guards_code"] = []  # Python, which PyTorch would execute
        check_names(path, document)
    else:
        check_claims(path, name, document, stored)
    return json.dumps(document).encode()


def check_names(path: Path, document: Any) -> None:
    """Raises CheckpointError if a name of the graph could be code."""
    for text in names(document):
        if not NAME.fullmatch(text):
            raise CheckpointError(f"{path}: has the name {text[:80]!r}, which PyTorch would execute as code; refused")


def names(document: Any) -> Iterator[str]:
    """All texts of a JSON document and of JSON inside its texts, keys included; of metadata only the keys."""
    waiting = [("", document)]
    while waiting:
        key, each = waiting.pop()
        if isinstance(each, dict):
            yield from each
            if key != "metadata" or not all(isinstance(value, str) for value in each.values()):
                waiting.extend(each.items())
        elif isinstance(each, list):
            waiting.extend((key, value) for value in each)
        elif isinstance(each, str) and key not in NO_NAMES:
            inner = inner_document(each)
            if inner is None:
                yield each
            else:
                waiting.append((key, inner))


def inner_document(text: str) -> Any:
    """The JSON that a text is, as trees of arguments are; None if it is plain text."""
    if text[:1] not in ("[", "{", '"'):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def check_claims(path: Path, name: str, document: Any, stored: Mapping[str, int]) -> None:
    """Raises CheckpointError if a tensor has more elements than its member has bytes, which PyTorch would allocate."""
    match = CONFIG.fullmatch(name)
    try:
        for key, payload in document["config"].items():
            count = math.prod(int(size["as_int"]) for size in payload["tensor_meta"]["sizes"])
            if match is None or count > stored.get(match[1] + payload["path_name"], 0):
                raise CheckpointError(
                    f"{path}: tensor {key[:80]} claims {count} elements, which its data has not; refused"
                )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: {name} does not describe tensors; refused") from error


def entries(document: Any) -> Iterator[tuple[str, Any]]:
    """All keys of a JSON document with their values, at whatever depth."""
    waiting = [document]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield from each.items()
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def is_size(text: object) -> bool:
    """Whether a text is a formula of symbols, which may be evaluated."""
    if not isinstance(text, str) or len(text) > 1000 or WORD.sub("", text):
        return False
    return all(NAMES.fullmatch(word) for word in re.findall(r"[A-Za-z_]\w*", text))


def bound_inputs(path: Path, exported: torch.export.ExportedProgram, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """Ones for each input, by its name, with open sizes bound.

    Raises:
        CheckpointError: a size stays open, or an input is no tensor.
    """
    placeholders = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    inputs: dict[str, Tensor] = {}
    used: set[str] = set()
    for name in exported.graph_signature.user_inputs:
        node = placeholders.get(str(name))
        value = None if node is None else node.meta.get("val")
        if not isinstance(value, Tensor):
            raise CheckpointError(f"{path}: the input {name} is no tensor; export a program that takes tensors alone")
        shape = [bound_size(path, str(name), size, sizes) for size in value.shape]
        if math.prod(shape) > MAX_ELEMENTS:
            raise CheckpointError(
                f"{path}: input {name} has shape {shape}; at most {MAX_ELEMENTS} elements are supported"
            )
        inputs[str(name)] = torch.ones(shape, dtype=value.dtype)
        used |= {str(size) for size in value.shape}
    for name in sizes.keys() - used:
        raise CheckpointError(f"{path}: has no size that is open and called {name}; leave out --size {name}")
    return inputs


def bound_size(path: Path, name: str, size: Any, sizes: Mapping[str, int]) -> int:
    if isinstance(size, int):
        return size
    symbol = str(size)
    if symbol not in sizes:
        raise CheckpointError(f"{path}: input {name} has an open size; give it: --size {symbol}=N")
    return sizes[symbol]


def first(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]
