"""One target's share of a compile: its programs, what they compute in, and what runs them here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from pydantic import TypeAdapter

from voxc.backends import find_backend
from voxc.backends.base import Backend
from voxc.compiler.cache.keeper import Keeper
from voxc.compiler.cache.keys import code_of
from voxc.compiler.calibration.source import Calibration
from voxc.compiler.core.errors import CompileError, RecipeError
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.file_name import readable_name
from voxc.compiler.core.machine import machine_model, this_machine, tool_versions, usable_cores
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.program import Program
from voxc.compiler.core.room import room
from voxc.compiler.core.runner import Artifact, Fit, Runner, Runtime
from voxc.compiler.core.target import Target
from voxc.compiler.precision.decide import Decider, Decision
from voxc.compiler.request import Request
from voxc.compiler.session import Session
from voxc.compiler.stages.work import Part, Work
from voxc.passes.base import Pass, PassResult
from voxc.passes.pipeline import PLUGINS, pipeline
from voxc.passes.precision.quantizable import moves
from voxc.passes.verify import run_verified

ARTIFACT_NAME = "artifact.json"
ARTIFACT: TypeAdapter[Artifact] = TypeAdapter(Artifact)


@dataclass(frozen=True)
class Job:
    """A target, and the work that is to be compiled for it."""

    session: Session
    request: Request
    target: Target
    work: Work

    def report(self, step: str) -> None:
        self.session.report(f"{self.target.name}: {step}")

    @cached_property
    def backend(self) -> Backend:
        return find_backend(self.target.backend).on(self.target.options)

    @cached_property
    def runtime(self) -> Runtime:
        return self.backend.runtime()

    @property
    def threads(self) -> int:
        return self.request.threads or self.target.threads or usable_cores()

    @property
    def is_the_target(self) -> bool:
        return self.target.is_machine(machine_model())

    @property
    def why_no_latency(self) -> str:
        """Why times taken on this machine are not the target's; empty if they are."""
        if self.runtime.evidence == "reference":
            name, *_ = self.runtime.description.split(" (")
            return f"not measured: {name} is no runtime of {self.target.name}"
        return "" if self.is_the_target else f"not measured: this machine is no {self.target.name}"

    @property
    def calibration(self) -> Calibration:
        return self.session.calibration(self.request, self.work)

    @cached_property
    def decider(self) -> Decider:
        here = "this machine" if self.is_the_target else f"this machine, which is no {self.target.name}"
        timed = f"{self.runtime.description}, {self.threads} threads, on {here}"
        return Decider(
            self.target,
            self.request.precision.on(self.target),
            self.calibration.samples,
            self.load,
            None if self.runtime.evidence == "reference" else timed,
            self.session.report,
            run_pass=self.run_pass,
            timings=self.session.tools_keeper().on(self.target, timed, this_machine().cpu, self.threads),
        )

    @cached_property
    def programs(self) -> dict[str, Program]:
        """The program of each component after the target's passes."""
        return {part.component.name: self.run_passes(part) for part in self.work.parts}

    def run_passes(self, part: Part) -> Program:
        """A part's program after the target's pipeline.

        Raises:
            PassError: a pass refused the graph, or on request to look, moved the outputs further than it says it may.
        """
        self.report(f"{part.component.name}: passes")
        program = part.program
        for compiler_pass in pipeline(self.target):
            program = self.run_pass(compiler_pass, program, self.target).program
        return program

    def run_pass(self, compiler_pass: Pass, program: Program, target: Target) -> PassResult:
        """One pass; on request, the graph runs before and after it."""
        if not self.request.verify_passes:
            return compiler_pass(program, target)
        (part,) = (each for each in self.work.parts if each.component.name == program.name)
        arrays = part.component.reference_inputs(program.sizes)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return run_verified(compiler_pass, program, target, tensors)

    def keeper(self, part: Part) -> Keeper:
        """Keeps what depends on a part and the target."""
        plugins = [code_of(self.backend), *(code_of(PLUGINS[name]) for name in PLUGINS)]
        return Keeper(self.session.store, part.key, readable_name(self.request.model)).on(self.target, plugins)

    def decide(self, part: Part) -> Decision:
        """The program of a part with the plan that the request leads to, before integers are inserted.

        Raises:
            RecipeError: the request asks for what the graph or the target cannot do.
        """
        keeper = self.keeper(part).on(self.calibration.own.key)
        return self.decider.decide(part.component, self.programs[part.component.name], keeper)

    def score(self, plans: Mapping[str, PrecisionPlan]) -> dict[str, float]:
        """The SNR in dB of each component by these plans, in the target's runtime; no bundle is written.

        Raises:
            VoxcError: see `emit`.
        """
        scores = {}
        for part in self.work.parts:
            name = part.component.name
            program = self.decider.quantize(replace(self.programs[name], plan=plans[name]))
            outputs = self.load(program).run(part.inputs)
            scores[name] = min(snr_db(array, outputs[key]) for key, array in part.expected.items())
        return scores

    def fit(self) -> Fit:
        """The longest segments that the target's memory holds, those of the work at most.

        Raises:
            RecipeError: it does not hold the length that was requested, or none at all.
        """
        frames = self.work.frames
        half = self.target.arithmetic == "float16" and self.decider.policy != "fp32"
        plan = PrecisionPlan(default="fp16" if half else "fp32")
        planned = [replace(program, plan=plan) for program in self.programs.values()]
        fit = self.backend.fit(planned, self.target, frames, self.work.model.frame_step) or Fit(frames, "")
        if fit.frames < frames and (self.request.says_length or not fit.frames):
            way = f"--frames {fit.frames} does" if fit.frames else "no segment of this voice does"
            raise RecipeError(f"{self.target.name}: a segment of {frames} frames does not fit, {way}; {fit.arithmetic}")
        return fit

    def at_length(self, part: Part, planned: Program) -> Program:
        """The component for segments of another length, by the plan for the first.

        Raises:
            CompileError: the passes leave another graph at that length.
        """
        program = self.run_passes(part)
        if layers(program) != layers(planned):
            raise CompileError(
                f"{self.target.name}: {program.name} at {program.frames} frames is another graph than at "
                f"{planned.frames}; compile the two by themselves"
            )
        return self.decider.quantize(replace(program, plan=planned.plan))

    def emit(self, program: Program, directory: Path, lengths: Sequence[Program] = ()) -> Artifact:
        """Raises UnsupportedError if the backend cannot take a program, MissingRuntimeError if it lacks a package."""
        self.backend.require(self.backend.emit_needs, f"emit for {self.target.name}")
        for each in (program, *lengths):
            self.backend.check(each, self.target)
        return self.backend.emit(program, self.target, directory, lengths)

    def artifact(
        self, part: Part, program: Program, plan: PrecisionPlan, directory: Path, lengths: Sequence[Program] = ()
    ) -> Artifact:
        """The artifact of a part in `directory`: emitted, or as it was emitted before by the same plan."""
        tools = tool_versions(need.package for need in self.backend.emit_needs)
        keeper = self.keeper(part).on("artifact", plan, tools, [each.key for each in part.lengths])

        def save(artifact: Artifact, folder: Path) -> None:
            for file in artifact.files:
                place = folder / file.relative_to(directory)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)
            names = replace(artifact, files=tuple(file.relative_to(directory) for file in artifact.files))
            (folder / ARTIFACT_NAME).write_bytes(ARTIFACT.dump_json(names))

        def load(folder: Path) -> Artifact:
            names = ARTIFACT.validate_json((folder / ARTIFACT_NAME).read_bytes())
            for name in names.files:
                (directory / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, directory / name)
            return replace(names, files=tuple(directory / name for name in names.files))

        return keeper.keep("artifacts", lambda: self.emit(program, directory, lengths), save, load)

    def load(self, program: Program) -> Runner:
        """A program in the target's runtime, leaving no file."""
        with tempfile.TemporaryDirectory(prefix="voxc-") as directory, room(Path(directory), Path(directory).parent):
            artifact = self.emit(program, Path(directory))
            self.backend.require(self.backend.run_needs, f"measure layers for {self.target.name}")
            return self.backend.load(artifact.files[0], self.threads)


def layers(program: Program) -> list[str]:
    """The nodes that compute something, by name: what a plan is for. What moves values about may differ by length."""
    computing = set(program.compute_nodes())
    return [node.name for node in program.graph.nodes if node.name in computing and not moves(node)]
