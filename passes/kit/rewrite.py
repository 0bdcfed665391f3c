"""A pass that edits a copy of the graph: what all such passes have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from voxc.compiler.core.errors import PassError
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.pattern import Call, Match, accepted


@dataclass(frozen=True)
class Rewrite(Pass):
    """Subclasses write `edit`. If it changes nothing, the program stays the very same; if it does, what nothing uses
    any more is dropped."""

    def run(self, program: Program, target: Target) -> PassResult:
        editor = GraphEditor(program)
        notes = tuple(self.edit(editor, target))
        return PassResult(editor.finish() if editor.modified else program, editor.modified, notes)

    @abstractmethod
    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        """Edits the graph and yields notes. `editor.modified` says at the end whether the edited graph counts."""

    def expect_none_left(
        self, program: Program, pattern: Call, check: Callable[[Match], object | None] = lambda match: match
    ) -> None:
        """Raises PassError if `program`, a result of this pass, has a match that the pass should have rewritten."""
        for node in program.graph.nodes:
            if accepted(program, pattern, check, node):
                raise PassError(f"{self.name}: {program.name}: {node.name} is left and should have been rewritten")
