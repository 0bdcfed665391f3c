"""Ranges: a program runs over samples, and observers watch the tensors that are to become integers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import fx

from voxc.compiler.calibration.histogram import NotFiniteError
from voxc.compiler.calibration.observers import OBSERVERS, SYMMETRIC_OBSERVERS, Observer
from voxc.compiler.core.errors import PassError, QualityError
from voxc.compiler.core.nodes import is_float, is_weight, module_path
from voxc.compiler.core.plan import Range
from voxc.compiler.core.program import Program, Watch
from voxc.compiler.core.recipe import Observer as ObserverName
from voxc.compiler.core.tensor import Array


def calibrate(
    program: Program,
    samples: Iterable[Mapping[str, Array]],
    observer: ObserverName,
    nodes: Collection[str] | None = None,
    *,
    symmetric: bool = False,
) -> dict[str, Range]:
    """The ranges of what `nodes` give, for a plan; by default of all float32 tensors that its int8 nodes take or give.

    A sample has the program's inputs, and noise that is still inside, by name. Activations are seen and let go of: the
    memory is that of one run, and a histogram for each node. With `symmetric`, integers are to reach as far below zero
    as above.

    Raises:
        PassError: the graph has no such node, or one that gives no float32 tensor.
        QualityError: a node gives what is not a number.
    """
    wanted = integer_tensors(program) if nodes is None else nodes
    refuse_unknown(program, wanted)
    kinds = {**OBSERVERS, **(SYMMETRIC_OBSERVERS if symmetric else {})}
    observers = {name: kinds[observer]() for name in wanted}
    for number, sample in enumerate(samples, start=1):
        tensors = {name: torch.from_numpy(array) for name, array in sample.items()}
        program.run(tensors, showing(observers, f"{program.name}, calibration sample {number}"))
    return {name: each.range() for name, each in observers.items()}


def showing(observers: Mapping[str, Observer], where: str) -> Watch:
    """Shows observers the tensors of the nodes that they are named after."""

    def watch(node: fx.Node, value: Any) -> None:
        if node.name not in observers:
            return
        try:
            observers[node.name].observe(value)
        except NotFiniteError as error:
            path = f" in {module_path(node)}" if module_path(node) else ""
            raise QualityError(
                f"{where}: {node.name}{path} gives {error}; check the checkpoint, or calibrate with other recordings"
            ) from error

    return watch


def integer_tensors(program: Program) -> list[str]:
    """The nodes whose float32 tensors the plan's int8 nodes take or give; constants have no need of samples."""
    around = {
        each.name: None
        for node in program.graph.nodes
        if program.plan.precision(node.name) == "int8"
        for each in (*node.all_input_nodes, node)
        if is_float(each) and not is_weight(program, each)
    }
    return list(around)


def refuse_unknown(program: Program, names: Iterable[str]) -> None:
    known = {node.name for node in program.graph.nodes if is_float(node)}
    for name in names:
        if name not in known:
            raise PassError(f"{program.name}: {name} gives no float32 tensor, so it has no range; leave it out")
