"""Random draws become inputs.

    before:  audio = f(phone, randn_like(mean))
    after:   audio = f(phone, prior_noise)

Converters stop at random operators or bake one draw into the file. With the noise outside, an artifact is deterministic
and can be compared with the original, and the caller owns the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from voxc.compiler.core.draws import GAUSSIAN_DRAWS, OTHER_DRAWS
from voxc.compiler.core.errors import PassError
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.rewrite import Rewrite


@dataclass(frozen=True)
class HoistNoise(Rewrite):
    """Turns each Gaussian draw into the noise input that the component declares for it, in the order drawn."""

    adds_inputs: ClassVar[bool] = True

    def requires(self, program: Program, target: Target) -> None:
        draws = sum(node.target in GAUSSIAN_DRAWS for node in program.graph.nodes)
        if draws != len(program.noise):
            raise PassError(
                f"{self.name}: {program.name} draws noise {draws} times and declares {len(program.noise)} noise inputs"
            )

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        for draw, spec in zip(editor.calls(*GAUSSIAN_DRAWS), editor.program.noise, strict=True):
            editor.replace(draw, editor.add_input(spec, draw.meta["val"]))
            editor.graph.erase_node(draw)
            yield f"{module_path(draw) or 'the network'} draws {spec.name}"

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        for node in after.graph.nodes:
            if node.target in GAUSSIAN_DRAWS | OTHER_DRAWS:
                raise PassError(f"{self.name}: {node.target} in {module_path(node)} cannot become an input")
