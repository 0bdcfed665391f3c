"""What compiles share: models and exports in this process, and what is kept on disk for later ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from voxc.compiler.cache.keeper import Keeper
from voxc.compiler.cache.keys import code_digest, code_of
from voxc.compiler.cache.store import Store
from voxc.compiler.calibration.source import Calibration
from voxc.compiler.core.component import Component
from voxc.compiler.core.text import visible
from voxc.compiler.families import find_family, load_model
from voxc.compiler.families.model import Model
from voxc.compiler.measure.conversion import Trial
from voxc.compiler.request import CONVERTING_SEGMENT_SECONDS, DEFAULT_SEGMENT_SECONDS, Request
from voxc.compiler.stages.export import export_part
from voxc.compiler.stages.work import Part, Work
from voxc.compiler.steps import Steps

Report = Callable[[str], None]


@dataclass
class Session:
    """Compiles one after another, and what they share.

    `store` keeps exports, references, calibration, layer timings, plans and artifacts on disk, by a digest of all that
    they depend on: the model's files and options, the code of voxc, the versions of its tools, and what was requested.
    What is kept is what would be made again; only times differ from run to run, and so does a plan that was found by
    them. The latest of each stays in memory.
    """

    store: Store | None = None
    report: Report = lambda message: None
    steps: Steps = field(default_factory=Steps)
    warn: Report = lambda message: None
    models: dict[str, Model] = field(default_factory=dict)
    works: dict[str, Work] = field(default_factory=dict)
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    trials: dict[str, Trial] = field(default_factory=dict)

    def model(self, request: Request) -> Model:
        """The model of a request.

        Raises:
            VoxcError: see `load_model`.
        """
        key = repr((request.model, request.family, request.options, request.sizes))
        if key not in self.models:
            self.report(f"loading {request.model.name}")
            self.models = {key: load_model(request.model, request.options, request.family, request.sizes)}
            for warning in self.models[key].warnings:
                self.warn(warning)
        return self.models[key]

    def keeper(self, request: Request) -> Keeper:
        """Keeps what depends on the model of a request, and on voxc and PyTorch."""
        model = self.model(request)
        files = dict(model.files)
        if not files:  # nobody can tell when such a model changes
            return Keeper()
        keeper = replace(self.tools_keeper(), label=visible(request.model.name))
        code = code_of(find_family(model.family))
        return keeper.on(model.family, code, dict(request.options), files, model.depends, model.sizes)

    def tools_keeper(self) -> Keeper:
        """Keeps what depends on voxc and PyTorch alone."""
        return Keeper() if self.store is None else Keeper(self.store, "").on(code_digest(), torch.__version__)

    def work(self, request: Request) -> Work:
        """The model of a request, exported for its segment, after its stages.

        Raises:
            VoxcError: see `load_model`, `Request.segment_of` and `export_part`.
        """
        model = self.model(request)
        default = CONVERTING_SEGMENT_SECONDS if model.converts else DEFAULT_SEGMENT_SECONDS
        frames, why = request.segment_of(model, default)
        key = repr((id(model), frames, request.lengths, request.dynamic, request.fallback, request.stages))
        if key not in self.works:
            seconds = model.seconds_of(frames)
            length = "" if seconds is None else f" {frames} frames ({seconds:g} s)"
            self.report(f"exporting{length}{why and f': {why}'}")
            keeper = self.keeper(request)
            work = Work(
                model, frames, why, tuple(part_of(each, model, frames, request, keeper) for each in model.components)
            )
            for stage in request.stages:
                work = stage(work, self.report)
            self.works = {key: work}
        return replace(self.works[key], why=why)

    def calibration(self, request: Request, work: Work) -> Calibration:
        """The samples of a request, collected when they are first used."""
        where = request.precision.calibration
        key = repr((id(work.model), work.frames, where, request.speaker))
        if key not in self.calibrations:
            keeper = self.keeper(request)
            new = Calibration(where, work.model, work.frames, request.speaker, self.report, keeper=keeper)
            self.calibrations = {key: new}
        return self.calibrations[key]

    def trial(self, request: Request, work: Work, sample: Path, references: tuple[Path, ...]) -> Trial:
        """A recording, converted by eager PyTorch.

        Raises:
            VoxcError: see `Trial.of`.
        """
        how = (sample, references, request.speaker, request.transpose)
        key = repr((id(work.model), work.frames, how))
        if key not in self.trials:
            self.report(f"converting {sample.name} with PyTorch")
            keeper = self.keeper(request).on(work.frames, how)
            trial = Trial.of(
                work.model, work.frames, sample, references,
                speaker=request.speaker, transpose=request.transpose, keeper=keeper,
            )  # fmt: skip
            self.trials = {key: trial}
        return self.trials[key]


def part_of(component: Component, model: Model, frames: int, request: Request, keeper: Keeper) -> Part:
    """A component in work for segments of `frames`, and of the other lengths that were requested."""

    def at(frames: int, dynamic: bool = request.dynamic) -> Part:
        return export_part(component, model.sizes_of(component, frames), dynamic, keeper)

    part = at(frames)
    if request.lengths:
        part = replace(part, lengths=tuple(at(length) for length in request.lengths))
    if not request.fallback:
        return part
    return replace(part, fallback=at(frames, dynamic=True).program if part.lengths else part.program)
