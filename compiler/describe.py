"""Sections of the manifest that say what was built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voxc.compiler.core.component import Component
from voxc.compiler.core.digest import sha256_of_file
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.file_name import readable_name
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.program import Program
from voxc.compiler.core.runner import Artifact
from voxc.compiler.core.tensor import TensorSpec
from voxc.compiler.families.model import Model
from voxc.compiler.manifest import ComponentBuild, FileRecord, PassNote, Source, SourceFile


def describe_source(model: Model) -> Source:
    return Source(
        files={role: describe_file(path) for role, path in model.files.items()},
        family=model.family,
        facts=model.facts,
    )


def describe_file(path: Path) -> SourceFile:
    try:
        return SourceFile(name=readable_name(path), bytes=path.stat().st_size, sha256=sha256_of_file(path))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error


def describe_component(
    component: Component,
    planned: Program,
    program: Program,
    artifact: Artifact,
    staging: Path,
    bound: float,
    *,
    several: bool,
    fallback: Sequence[Path] = (),
) -> ComponentBuild:
    """`planned` is the program before its plan became a part of the graph, `program` what was emitted; `several` says
    that the artifact takes other lengths too. `fallback` are the files of the component for PyTorch."""
    open_specs = {spec.name: spec for spec in (*component.inputs, *component.noise, *component.outputs)}

    def described(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        return tuple(open_specs[spec.name] for spec in specs) if several else specs

    return ComponentBuild(
        name=program.name,
        frame_rate=component.frame_rate,
        inputs=described(program.inputs),
        outputs=described(program.outputs),
        passes=tuple(PassNote(name=done.name, modified=done.modified, notes=done.notes) for done in program.history),
        precisions=precisions(planned),
        format=artifact.format,
        operators=artifact.operators,
        oldest_runtime=artifact.oldest_runtime,
        files=tuple(FileRecord.of(staging, file) for file in artifact.files),
        min_snr_db=bound,
        fallback=tuple(FileRecord.of(staging, file) for file in fallback),
    )


def precisions(program: Program) -> dict[str, dict[str, int]]:
    """What the nodes of each module compute in, how many of each; modules in the order of the graph."""
    modules: dict[str, list[str]] = {}
    computing = set(program.compute_nodes())
    for node in program.graph.nodes:
        if node.name in computing:
            modules.setdefault(module_path(node), []).append(node.name)
    return {module: program.plan.histogram(names) for module, names in modules.items()}
