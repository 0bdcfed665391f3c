"""A chain with what runs its components: of a bundle, or of a model on any runners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import BundleError
from voxc.compiler.core.runner import Runner
from voxc.compiler.families import find_family
from voxc.compiler.families.chain import Chain
from voxc.compiler.runtime.component import load_backed
from voxc.compiler.runtime.fallback import Fallbacks


@dataclass(frozen=True)
class Pipeline:
    """A chain and the runners of its components, ready to convert recordings."""

    chain: Chain[Any]
    runners: Mapping[str, Runner]

    def __post_init__(self) -> None:
        """Raises RecipeError if a component is missing."""
        self.chain.check(self.runners)


def load_pipeline(bundle: Bundle, threads: int | None = None, fallbacks: Fallbacks | None = None) -> Pipeline:
    """The networks of a bundle in their runtime, ready to convert recordings; with `fallbacks`, PyTorch stands behind
    each that has one.

    Raises:
        BundleError: it lacks a component that conversions need, or its files are not those of its manifest.
        MissingRuntimeError: the runtime is not installed.
        RecipeError: it was compiled for segments that cannot be cut into content frames.
    """
    build = bundle.manifest.build
    inputs = {component.name: component.inputs for component in build.components}
    chain = find_family(build.source.family).chain(build.voice, inputs, build.recipe.frames)
    if chain is None:
        raise BundleError(f"{bundle.directory}: a {build.source.family} model has nothing to convert; see `voxc run`")
    for name, remedy in chain.needs.items():
        if name not in inputs:
            raise BundleError(f"{bundle.directory}: has no {name} component: {remedy}")
    runners = {name: load_backed(bundle, name, threads, fallbacks) for name in inputs}
    if fallbacks is not None:
        fallbacks.tell()
    return Pipeline(chain, runners)
