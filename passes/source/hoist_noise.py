"""Random draws become inputs.

    before:  audio = f(phone, randn_like(mean))
    after:   audio = f(phone, prior_noise)

Converters stop at random operators or bake one draw into the file. With the noise outside, an artifact is deterministic
and can be compared with the original, and the caller owns the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from voxc.compiler.core.errors import PassError
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.noise import GAUSSIAN_DRAWS, OTHER_DRAWS
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.base import Pass, PassResult
from voxc.passes.kit.graph_editor import GraphEditor


@dataclass(frozen=True)
class HoistNoise(Pass):
    """Turns each Gaussian draw into the noise input that the component declares for it, in the order drawn."""

    adds_inputs: ClassVar[bool] = True

    def run(self, program: Program, target: Target) -> PassResult:
        editor = GraphEditor(program)
        draws = editor.calls(*GAUSSIAN_DRAWS)
        if len(draws) != len(program.noise):
            raise PassError(
                f"{self.name}: {program.name} draws noise {len(draws)} times "
                f"and declares {len(program.noise)} noise inputs"
            )
        pairs = list(zip(draws, program.noise, strict=True))
        for draw, spec in pairs:
            editor.replace(draw, editor.add_input(spec, draw.meta["val"]))
            editor.graph.erase_node(draw)
        notes = tuple(f"{module_path(draw) or 'the network'} draws {spec.name}" for draw, spec in pairs)
        return PassResult(editor.finish() if editor.modified else program, editor.modified, notes)

    def ensures(self, program: Program) -> None:
        for node in program.graph.nodes:
            if node.target in GAUSSIAN_DRAWS | OTHER_DRAWS:
                raise PassError(f"{self.name}: {node.target} in {module_path(node)} cannot become an input")
