"""Nodes as people name them: by patterns of node names and module paths, in the recipe and in messages."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import fx

from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.program import Program

#: How many names a message has at most.
MOST_NAMES = 3


def matching(program: Program, pattern: str) -> list[str]:
    """The calls that a pattern is for: the one of that name, or those whose name or module it matches."""
    calls = {node.name: module_path(node) for node in program.graph.nodes if node.op == "call_function"}
    if pattern in calls:
        return [pattern]
    return [
        name
        for name, path in calls.items()
        if fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*") or fnmatchcase(name, pattern)
    ]


def without_match(pattern: str, programs: Sequence[Program]) -> RecipeError:
    """That none of the programs has what a pattern is for, and what is called nearly so."""
    calls = [node for program in programs for node in program.graph.nodes if node.op == "call_function"]
    known = dict.fromkeys([*map(module_path, calls), *(node.name for node in calls)])
    near = difflib.get_close_matches(pattern, [name for name in known if name], n=MOST_NAMES, cutoff=0.3)
    nearest = f"; nearest: {', '.join(near)}" if near else ""
    names = ", ".join(program.name for program in programs)
    return RecipeError(f"{names}: no module or node {pattern!r}{nearest} (`voxc inspect` lists them)")


def describe(node: fx.Node) -> str:
    path = module_path(node)
    return f"{path} ({node.name})" if path else node.name


def listed(names: Sequence[str]) -> str:
    """The first of several names."""
    return f"{', '.join(names[:MOST_NAMES])}{' ...' if len(names) > MOST_NAMES else ''}"
