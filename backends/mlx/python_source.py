"""A network as readable Python: a class whose methods are the modules of the voice, one line for each operation."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from voxc.backends.mlx.network import Network
from voxc.backends.mlx.statements import (
    INDEX,
    INFIX,
    Argument,
    Call,
    Name,
    Statement,
    Value,
    argument_operands,
    function_source,
    values_in,
)
from voxc.backends.mlx.statements import source as expression_source
from voxc.compiler.core.tensor import TensorSpec

WIDTH = 120
INDENT = "    "
BODY = INDENT * 2


@dataclass
class Section:
    """Operations of one module that follow each other: a method. `takes` and `gives` are what it shares with others."""

    path: str
    method: str
    statements: list[Statement] = field(default_factory=list)
    takes: tuple[Value, ...] = ()
    gives: tuple[Value, ...] = ()


def python_source(network: Network, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """The source of a module that imports nothing but MLX, formatted as ruff would with lines of 120."""
    sections = sections_of(network)
    name = class_name(network.name)
    lines = [
        f'"""The {network.name} network of a voice, in MLX; made by voxc.',
        "",
        f'    network = {name}("model.safetensors")',
        f"    {', '.join(network.outputs)} = network({', '.join(value.name for value in network.inputs)})",
        "",
        "Takes",
        *map(described, inputs),
        "",
        "and gives",
        *map(described, outputs),
        '"""',
        "",
        "import mlx.core as mx",
        "",
        "",
        f"class {name}:",
        f'{INDENT}"""The network, for segments of one length; `file` holds its weights by name."""',
        "",
        f'{INDENT}def __init__(self, file: str = "model.safetensors") -> None:',
        f"{BODY}self.weights = mx.load(file)",
        "",
        *entry_lines(network, sections),
    ]
    for section in sections:
        lines += ["", *method_lines(section)]
    return "\n".join(lines) + "\n"


def described(spec: TensorSpec) -> str:
    sizes = ", ".join(map(str, spec.shape))
    text = f"{spec.name} [{sizes}] {spec.dtype}, in {spec.unit}: {spec.meaning}"
    return textwrap.fill(text.replace("\\", "/"), WIDTH - 4, initial_indent=INDENT, subsequent_indent=BODY)


def class_name(name: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"\W|_", name))


# Sections.


def sections_of(network: Network) -> list[Section]:
    """Runs of operations of one module. What belongs to no module goes with what is before it."""
    sections: list[Section] = []
    taken = {"weights", "__init__", "__call__"}
    for statement in network.statements:
        path = module_of(statement.path) or (sections[-1].path if sections else "")
        if not sections or path != sections[-1].path:
            sections.append(Section(path, unused(re.sub(r"\W", "_", path) or "start", taken)))
        sections[-1].statements.append(statement)
    link(sections, network)
    return sections


def module_of(path: str) -> str:
    """The part of a path up to its first number: `dec.resblocks.3` of `dec.resblocks.3.convs1.0`; else its start."""
    parts = path.split(".")
    number = next((place for place, part in enumerate(parts) if part.isdigit()), None)
    return ".".join(parts[: number + 1] if number is not None else parts[:2])


def unused(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found


def link(sections: list[Section], network: Network) -> None:
    """What each section takes from those before it, and gives to those behind it."""
    wanted = dict.fromkeys(network.outputs.values())
    for section in reversed(sections):
        made = [value for statement in section.statements for value in statement.results]
        section.gives = tuple(value for value in made if value in wanted)
        read = dict.fromkeys(
            value for statement in section.statements for value in values_in(statement.call) if not value.weight
        )
        section.takes = tuple(value for value in read if value not in set(made))
        wanted = {value: None for value in (*wanted, *section.takes) if value not in set(made)}


# Lines.


def entry_lines(network: Network, sections: Sequence[Section]) -> list[str]:
    lines = definition("__call__", network.inputs, list(network.outputs.values()))
    needs = any(value.weight for value in network.outputs.values())
    lines += [f"{BODY}w = self.weights"] * needs
    for section in sections:
        if section.gives:
            takes = [("", value) for value in section.takes]
            lines += bracketed(f"self.{section.method}", takes, len(BODY), assigned(section.gives))
    return lines + returned([expression_source(value) for value in network.outputs.values()])


def method_lines(section: Section) -> list[str]:
    lines = definition(section.method, section.takes, section.gives)
    if any(value.weight for statement in section.statements for value in values_in(statement.call)):
        lines.append(f"{BODY}w = self.weights")
    path = None
    for statement in section.statements:
        if statement.path and statement.path != path:
            path = statement.path
            lines.append(f"{BODY}# {path}")
        lines += statement_lines(statement)
    return lines + returned([value.name for value in section.gives])


def definition(name: str, takes: Iterable[Value], gives: Sequence[Value]) -> list[str]:
    result = "mx.array" if len(gives) == 1 else f"tuple[{', '.join('mx.array' for _ in gives)}]"
    parameters = [("", Name("self")), *(("", Name(f"{value.name}: mx.array")) for value in takes)]
    return bracketed(f"def {name}", parameters, len(INDENT), "", f" -> {result}:")


def returned(names: list[str]) -> list[str]:
    line = f"{BODY}return {', '.join(names)}"
    if len(line) <= WIDTH:
        return [line]
    return [f"{BODY}return (", *(f"{BODY}{INDENT}{name}," for name in names), f"{BODY})"]


def assigned(values: Sequence[Value]) -> str:
    return f"{', '.join(value.name for value in values)} = "


def statement_lines(statement: Statement) -> list[str]:
    return laid_out(statement.call, 0, len(BODY), assigned(statement.results))


def laid_out(operand: object, least: int, indent: int, before: str = "", after: str = "") -> list[str]:
    """An expression in one line, or in as many as a formatter would make of it."""
    start = " " * indent
    line = f"{start}{before}{expression_source(operand, least)}{after}"
    if len(line) <= WIDTH or not isinstance(operand, Call) or operand.function == INDEX:
        return [line]
    if operand.function not in INFIX:
        return bracketed(function_source(operand), argument_operands(operand), indent, before, after)
    strength, (first, second) = INFIX[operand.function][0], operand.arguments
    return [
        f"{start}{before}(",
        *laid_out(first, strength, indent + len(INDENT)),
        *laid_out(second, strength + 1, indent + len(INDENT), f"{operand.function} "),
        f"{start}){after}",
    ]


def bracketed(
    function: str, arguments: Sequence[Argument], indent: int, before: str = "", after: str = ""
) -> list[str]:
    """A call or definition on one line if it fits, its arguments on the next if they fit, else each on its own."""
    start, inside = " " * indent, indent + len(INDENT)
    texts = [f"{name}{expression_source(operand)}" for name, operand in arguments]
    line = f"{start}{before}{function}({', '.join(texts)}){after}"
    if len(line) <= WIDTH:
        return [line]
    inner = [f"{' ' * inside}{', '.join(texts)}"]
    if len(inner[0]) > WIDTH:
        inner = [line for name, operand in arguments for line in laid_out(operand, 0, inside, name, ",")]
    return [f"{start}{before}{function}(", *inner, f"{start}){after}"]
