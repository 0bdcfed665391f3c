"""What a pass looks for, written as it reads and matched in one place.

    DIRECTION = weight("direction")
    WEIGHT_NORM = call_to(aten.mul.Tensor, DIRECTION, call_to(aten.div.Tensor, weight("magnitude"), norm_of(DIRECTION)))

    for match in WEIGHT_NORM.matches(editor): match["direction"], match["magnitude"], ...

A pattern says what a call and its operands are. A name is bound to what stands in its place; a name that stands twice
must be bound to the same value both times. `rewrite_matches` adds what shapes alone do not say: a check, which may
refuse a match with a reason, and the rewriting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import fx

from voxc.compiler.core.nodes import HasWeights, call_arguments, is_weight, module_path
from voxc.passes.kit.graph_editor import GraphEditor

Bound = Mapping[str, Any]
Finding = TypeVar("Finding")


class Refused(Exception):
    """A match that a pass leaves alone. The message is the reason, as the end of a sentence; `node` is what is in the
    way, if that is another node than the match's own."""

    def __init__(self, reason: str, node: fx.Node | None = None) -> None:
        super().__init__(reason)
        self.node = node


def place_of(node: fx.Node) -> str:
    """The module that a node comes from; the node itself where that is the network."""
    return module_path(node) or node.name


@dataclass(frozen=True)
class Match:
    """A node that a pattern fits, and what the pattern's names are bound to."""

    node: fx.Node
    bound: Bound

    def __getitem__(self, name: str) -> Any:
        return self.bound[name]


class Pattern(Protocol):
    def bind(self, graph: HasWeights, value: Any, bound: Bound) -> Bound | None:
        """`bound` with the names of this pattern; None if `value` does not fit."""


@dataclass(frozen=True)
class Operand:
    """An operand of any kind that passes a test."""

    name: str
    accepts: Callable[[HasWeights, Any], bool]

    def bind(self, graph: HasWeights, value: Any, bound: Bound) -> Bound | None:
        return with_name(bound, self.name, value) if self.accepts(graph, value) else None


@dataclass(frozen=True)
class Call:
    """A call of one of `targets` whose operands fit, by place or by the name that they have in the schema.

    Operands without a pattern may be anything. `through` are calls that may stand between a user and this call; each is
    passed to its first operand. The first two operands of a commutative call may change places.
    """

    targets: tuple[Callable[..., Any], ...]
    operands: tuple[Pattern, ...] = ()
    keywords: Mapping[str, Pattern] = field(default_factory=dict)
    name: str = ""
    through: frozenset[object] = frozenset()
    commutative: bool = False

    def bind(self, graph: HasWeights, value: Any, bound: Bound) -> Bound | None:
        while is_call(value, *self.through):
            value = call_arguments(value)[0]
        if not is_call(value, *self.targets):
            return None
        arguments = call_arguments(value)
        orders = [arguments, [*arguments[1::-1], *arguments[2:]]] if self.commutative else [arguments]
        for order in orders:
            result = self.bind_operands(graph, value, order, bound)
            if result is not None:
                return with_name(result, self.name, value)
        return None

    def bind_operands(self, graph: HasWeights, node: fx.Node, arguments: list[Any], bound: Bound) -> Bound | None:
        places = schema_places(node) if self.keywords else {}
        pairs = [
            *zip(self.operands, arguments, strict=False),
            *((pattern, arguments[places[name]]) for name, pattern in self.keywords.items()),
        ]
        result: Bound | None = bound
        for pattern, argument in pairs:
            if result is not None:
                result = pattern.bind(graph, argument, result)
        return result

    def match(self, graph: HasWeights, value: object) -> Match | None:
        bound = self.bind(graph, value, {})
        return None if bound is None or not isinstance(value, fx.Node) else Match(value, bound)

    def matches(self, graph: GraphEditor) -> Iterator[Match]:
        """The matches in the order of the graph, each as the graph is when its turn comes."""
        for node in graph.calls(*self.targets):
            match = self.match(graph, node)
            if match is not None:
                yield match


def call_to(
    *targets_and_operands: Any,
    name: str = "",
    through: frozenset[object] = frozenset(),
    commutative: bool = False,
    **keywords: Any,
) -> Call:
    """A call of one of the targets that come first, with the operands that follow. What is no pattern is a value that
    the operand must equal."""
    patterns = [each for each in targets_and_operands if not callable(each)]
    targets = [each for each in targets_and_operands if callable(each)]
    return Call(
        tuple(targets), tuple(map(as_pattern, patterns)), {key: as_pattern(each) for key, each in keywords.items()},
        name, through, commutative,
    )  # fmt: skip


def as_pattern(value: Any) -> Pattern:
    return value if isinstance(value, Operand | Call) else one_of(value)


def anything(name: str = "") -> Operand:
    return Operand(name, lambda graph, value: True)


def weight(name: str = "") -> Operand:
    """A parameter, buffer or constant."""
    return Operand(name, is_weight)


def where(test: Callable[[Any], bool], name: str = "") -> Operand:
    """An operand for which a test holds."""
    return Operand(name, lambda graph, value: test(value))


def one_of(*values: Any) -> Operand:
    """A number, list or flag that equals one of `values`."""
    return Operand("", lambda graph, value: not isinstance(value, fx.Node) and value in values)


def is_call(value: object, *targets: object) -> bool:
    return isinstance(value, fx.Node) and value.op == "call_function" and value.target in targets


def with_name(bound: Bound, name: str, value: Any) -> Bound | None:
    """`bound` with one more name, which may be empty; None if it is bound to something else already."""
    if not name:
        return bound
    return {**bound, name: value} if bound.get(name, value) == value else None


def schema_places(node: fx.Node) -> dict[str, int]:
    assert isinstance(node.target, torch._ops.OpOverload)
    return {argument.name: place for place, argument in enumerate(node.target._schema.arguments)}


def accepted(graph: HasWeights, pattern: Call, check: Callable[[Match], object | None], node: fx.Node) -> bool:
    """Whether a pattern fits a node and the check behind it has something to give: not None, not False, no refusal."""
    match = pattern.match(graph, node)
    if match is None:
        return False
    try:
        finding = check(match)
    except Refused:
        return False
    return finding is not None and finding is not False


def rewrite_matches(
    editor: GraphEditor,
    pattern: Call,
    check: Callable[[Match], Finding | None],
    rewrite: Callable[[Match, Finding], str | None],
    *,
    refusal: str,
) -> Iterator[str]:
    """Rewrites what a pattern matches, one match after the other, and gives the notes about it.

    `check` gives what the rewriting needs to know, None if the match is something else after all, or raises Refused:
    then a note says `refusal` and the reason. `rewrite` runs with the editor in front of the match, and gives a note
    about what it did or None.
    """
    for match in pattern.matches(editor):
        place = place_of(match.node)
        try:
            finding = check(match)
        except Refused as reason:
            yield f"{place_of(reason.node or match.node)}: {refusal}: {reason}"
            continue
        if finding is None:
            continue
        with editor.before(match.node):
            note = rewrite(match, finding)
        editor.modified = True
        if note is not None:
            yield f"{place}: {note}"
