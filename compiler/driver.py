"""The one module that knows families, passes and backends, all of them: a checkpoint in, bundles out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from voxc.backends import find_backend
from voxc.backends.base import Backend
from voxc.compiler.bundle import refuse_to_overwrite, staged
from voxc.compiler.calibration.source import Calibration
from voxc.compiler.core.errors import CompileError, RecipeError
from voxc.compiler.core.figure import Figure, figure
from voxc.compiler.core.gates import Gate, failures
from voxc.compiler.core.machine import machine_model, peak_memory_mib, this_machine, tool_versions, usable_cores
from voxc.compiler.core.model import VoiceModel
from voxc.compiler.core.plan import Precision, PrecisionPlan
from voxc.compiler.core.program import Program
from voxc.compiler.core.runner import Artifact, Fit, Runner, Runtime
from voxc.compiler.core.target import Target
from voxc.compiler.core.work import integer_figures
from voxc.compiler.describe import describe_component, describe_source, describe_voice
from voxc.compiler.device.pack import ship_agent
from voxc.compiler.fallback.build import build_fallback
from voxc.compiler.families import load_voice
from voxc.compiler.manifest import (
    Build,
    ComponentMeasurements,
    Conversion,
    FileRecord,
    Manifest,
    Measurements,
    Recipe,
    Source,
    TargetRecord,
    write_manifest,
)
from voxc.compiler.measure.bounds import least_snr, missed
from voxc.compiler.measure.conversion import Trial
from voxc.compiler.measure.estimate import estimate_figures
from voxc.compiler.measure.figures import Floats, fidelity_figures, latency_figures, missing_latency
from voxc.compiler.part import Compiled, Part, write_references
from voxc.compiler.precision.decide import Decider
from voxc.compiler.precision.plans import Plans, write_plans
from voxc.compiler.request import CONVERTING_SEGMENT_SECONDS, DEFAULT_SEGMENT_SECONDS, Request
from voxc.compiler.runtime.voice import pipeline_of
from voxc.compiler.voice_files import VoiceFiles, demo_sample, find_voice
from voxc.passes.base import Pass, PassResult
from voxc.passes.pipeline import pipeline
from voxc.passes.precision.quantizable import moves
from voxc.passes.source.hoist_noise import HoistNoise
from voxc.passes.verify import run_verified

Report = Callable[[str], None]


def compile_voice(request: Request, report: Report = lambda message: None) -> list[tuple[Path, Manifest]]:
    """Compiles a voice for each target; gives the bundles and their manifests in the order of the targets.

    A bundle that misses its numerical bound is written and marked as failed; the caller decides what that means.

    Raises:
        VoxcError: see `compiler/core/errors.py`; then no bundle of the failing target is left.
    """
    started = time.perf_counter()
    request.check()
    for target in request.targets:
        refuse_to_overwrite(request.place_for(target))
    files = find_voice(request.model, request.content, request.index)
    report(f"loading {files.checkpoint.name}")
    voice = load_voice(files, request.index_budget)
    source = describe_source(files, voice)
    default = DEFAULT_SEGMENT_SECONDS if files.content is None else CONVERTING_SEGMENT_SECONDS
    frames, why = request.segment_of(voice, default)
    report(f"exporting {frames} frames ({frames / voice.frame_rate:g} s){why and f': {why}'}")
    parts = [Part.of(component, voice, frames, request) for component in voice.components]
    calibration = Calibration(request.precision.calibration, files, voice, frames, request.speaker, report)
    trial = prepare_trial(request, files, voice, frames, report)
    bundles: list[tuple[Path, Manifest]] = []
    for target in request.targets:
        job = Job(request, target, voice, calibration, report)
        place = request.place_for(target)
        programs = [job.run_passes(part) for part in parts]
        job.decider.check(programs)
        held = job.fit(programs, frames)
        if held.frames < frames:
            report(f"{target.name}: {frames} frames do not fit into its memory, {held.frames} do")
            bundles += compile_voice(replace(request, targets=(target,), output=place, longest=held.frames), report)
            continue
        with staged(place) as staging:
            compiled = [job.compile(part, program, staging) for part, program in zip(parts, programs, strict=True)]
            conversion = job.convert(trial, frames, compiled, staging)
            seconds = time.perf_counter() - started
            told = "; ".join(filter(None, (why, held.arithmetic)))
            manifest = job.assemble(source, told, parts, compiled, conversion, staging, seconds)
            write_manifest(staging, manifest)
        bundles.append((place, manifest))
    return bundles


@dataclass(frozen=True)
class Job:
    """One target's share of a request."""

    request: Request
    target: Target
    voice: VoiceModel
    calibration: Calibration
    report: Report

    @property
    def backend(self) -> Backend:
        return find_backend(self.target.backend)

    @property
    def decider(self) -> Decider:
        here = "this machine" if self.is_the_target else f"this machine, which is no {self.target.name}"
        told = f"{self.runtime.description}, {self.threads} threads, on {here}"
        timed = None if self.runtime.evidence == "reference" else told
        recipe = self.request.precision.on(self.target)
        return Decider(self.target, recipe, self.calibration.samples, self.load, timed, self.report, self.run_pass)

    @property
    def threads(self) -> int:
        return self.request.threads or self.target.threads or usable_cores()

    @property
    def runtime(self) -> Runtime:
        return self.backend.runtime()

    def compile(self, part: Part, program: Program, staging: Path) -> Compiled:
        """Precision, emission, numerical check and measurement of one component, after the target's passes."""
        name = part.component.name
        decision = self.decider.decide(part.component, program)
        program = self.decider.quantize(decision.program)
        lengths = [self.at_length(length, decision.program) for length in part.lengths]
        self.report(f"{self.target.name}: {name}: emitting")
        artifact = self.emit(program, staging, lengths)
        self.report(f"{self.target.name}: {name}: checking")
        self.backend.require(self.backend.run_needs, f"check what was emitted for {self.target.name}")
        runner = self.backend.load(artifact.files[0], self.threads)
        figures = self.measure(part, runner, decision.program)
        rehearsal = self.backend.rehearse(artifact.files[0], self.threads)
        if rehearsal is not None:
            figures["snr_rehearsed"] = self.fidelity(part, rehearsal.runner, rehearsal.runtime)["snr"]
        if figures["latency_median"].value is None:
            figures |= estimate_figures(decision.program, self.target)
        spare = self.fallback(part, staging)
        bound = least_snr(decision.program.plan, self.target, self.request.precision)
        build = describe_component(
            part.component, decision.program, program, artifact, staging, bound, several=bool(lengths), fallback=spare
        )
        integers = integer_figures(decision.program)
        measurements = ComponentMeasurements(
            figures={**figures, **integers, **decision.figures, **part.component.figures},
            passes={done.name: figure(done.seconds, "s", "wall clock") for done in program.history},
        )
        return Compiled(
            build,
            decision.program.plan,
            tuple(FileRecord.of(staging, file) for file in decision.write(staging)),
            measurements,
            rehearsal.runner if rehearsal else runner,
            rehearsal.runtime if rehearsal else self.runtime,
            missed(name, figures, bound),
        )

    def fallback(self, part: Part, staging: Path) -> tuple[Path, ...]:
        """The files of a component for PyTorch, which runs it where its artifact fails; none if they are not wanted."""
        if part.fallback is None:
            return ()
        self.report(f"{self.target.name}: {part.component.name}: writing its fallback")
        program = HoistNoise()(part.fallback, self.target).program
        cases = [(each.inputs, each.outputs) for each in (part, *part.lengths)]
        return build_fallback(program, cases, staging, self.threads)

    def fit(self, programs: Sequence[Program], frames: int) -> Fit:
        """The longest segments that the target's memory holds, `frames` at most.

        Raises:
            RecipeError: it does not hold the length that was asked for, or none at all.
        """
        half = self.target.arithmetic == "float16" and self.decider.policy != "fp32"
        plan = PrecisionPlan(default="fp16" if half else "fp32")
        planned = [replace(program, plan=plan) for program in programs]
        held = self.backend.fit(planned, self.target, frames, self.voice.frame_step) or Fit(frames, "")
        if held.frames < frames and (self.request.says_length or not held.frames):
            told = f"{self.target.name}: a segment of {frames} frames does not fit"
            way = f"--frames {held.frames} does" if held.frames else "no segment of this voice does"
            raise RecipeError(f"{told}, {way}; {held.arithmetic}")
        return held

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
        self.backend.require(self.backend.emit_needs, f"emit for {self.target.name}")
        for each in (program, *lengths):
            self.backend.check(each, self.target)
        return self.backend.emit(program, self.target, directory, lengths)

    def load(self, program: Program) -> Runner:
        """A program in the target's runtime, leaving no file."""
        with tempfile.TemporaryDirectory(prefix="voxc-") as directory:
            artifact = self.emit(program, Path(directory))
            self.backend.require(self.backend.run_needs, f"measure layers for {self.target.name}")
            return self.backend.load(artifact.files[0], self.threads)

    def convert(self, trial: Trial | None, frames: int, compiled: list[Compiled], staging: Path) -> Conversion | None:
        """The trial, by what was emitted."""
        if trial is None:
            return None
        self.report(f"{self.target.name}: converting {trial.sample.name}")
        converter = pipeline_of(self.voice, {each.build.name: each.runner for each in compiled}, frames)
        coarsest = next((each.runtime for each in compiled if each.runtime.evidence == "estimate"), self.runtime)
        runtime = f"{coarsest.description}, {self.threads} threads"
        return trial.measure(converter, staging, runtime, untimed=self.why_no_latency, evidence=coarsest.evidence)

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
    def gates(self) -> tuple[str, ...]:
        """What the target holds every conversion to, and what was asked for."""
        return tuple(dict.fromkeys([*self.target.gates, *(str(Gate.parse(text)) for text in self.request.gates)]))

    def shut_gates(self, conversion: Conversion | None) -> list[str]:
        """Why the conversion does not pass; the target's own gates are for what has a number."""
        if conversion is None:
            return []
        figures = {"fidelity": conversion.fidelity, "task": conversion.task}
        return failures(self.gates, figures, lenient=self.target.gates)

    def assemble(
        self,
        source: Source,
        why_frames: str,
        parts: list[Part],
        compiled: list[Compiled],
        conversion: Conversion | None,
        staging: Path,
        seconds: float,
    ) -> Manifest:
        """Writes the plan and the reference tensors, and gives the manifest of the bundle."""
        plans = Plans(
            target=self.target.name,
            policy=self.decider.policy,
            components={component.build.name: component.plan for component in compiled},
        )
        build = Build(
            tools=tool_versions(need.package for need in self.backend.emit_needs),
            source=source,
            target=TargetRecord.of(self.target),
            recipe=Recipe(
                frames=parts[-1].program.frames,
                lengths=self.request.lengths,
                why_frames=why_frames,
                dynamic=self.request.dynamic,
                precision=plans.policy,
                gates=self.gates,
            ),
            voice=describe_voice(self.voice),
            plan=FileRecord.of(staging, write_plans(staging, plans)),
            components=tuple(component.build for component in compiled),
            agent=ship_agent(self.backend, staging) if self.backend.kit else None,
        )
        measurements = Measurements(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=this_machine(),
            threads=self.threads,
            compile={
                "seconds": figure(seconds, "s", "wall clock from the checkpoint to this manifest"),
                "peak_memory": figure(peak_memory_mib(), "MiB", "largest resident set of the compiling process"),
            },
            reference=write_references(staging, parts),
            components={component.build.name: component.measurements for component in compiled},
            calibration=self.calibration.source,
            searches=tuple(file for component in compiled for file in component.searches),
            conversion=conversion,
        )
        failed = (*(failure for component in compiled for failure in component.failures), *self.shut_gates(conversion))
        return Manifest(
            status="failed" if failed else "passed",
            failures=failed,
            build_digest=build.digest(),
            build=build,
            measurements=measurements,
        )

    def run_passes(self, part: Part) -> Program:
        """A part's program after the target's pipeline.

        Raises:
            PassError: a pass refused the graph, or moved the outputs further than it says it may.
        """
        self.report(f"{self.target.name}: {part.component.name}: passes")
        program = part.program
        for compiler_pass in pipeline(self.target):
            program = self.run_pass(compiler_pass, program, self.target).program
        return program

    def run_pass(self, compiler_pass: Pass, program: Program, target: Target) -> PassResult:
        """One pass; on request, the graph runs before and after it."""
        if not self.request.verify_passes:
            return compiler_pass(program, target)
        (component,) = (each for each in self.voice.components if each.name == program.name)
        arrays = component.reference_inputs(program.frames)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return run_verified(compiler_pass, program, target, tensors)

    def fidelity(self, part: Part, runner: Runner, runtime: Runtime) -> dict[str, Figure]:
        """How close an artifact in a runtime comes to float32 PyTorch on a part's reference inputs."""
        (output,) = part.component.outputs
        return fidelity_figures(
            part.outputs[output.name],
            runner.run(part.inputs)[output.name],
            output.unit,
            part.component.audio_rate,
            f"{runtime.description} against float32 PyTorch, same inputs and noise, {part.program.frames} frames",
            runtime.evidence,
        )

    def measure(self, part: Part, runner: Runner, planned: Program) -> dict[str, Figure]:
        """Runs an artifact in its runtime: fidelity always, latency where any machine is such a target.

        `planned` is the program before quantization.
        """
        figures = self.fidelity(part, runner, self.runtime)
        for length in part.lengths:
            figures[f"snr_{length.program.frames}_frames"] = self.fidelity(length, runner, self.runtime)["snr"]
        if self.why_no_latency:
            return figures | missing_latency(self.why_no_latency)
        step = f"{self.target.name}: {part.component.name}: measuring"
        self.report(step)
        return figures | latency_figures(
            part.component, runner.run, part.inputs, self.in_floats(planned),
            runtime=self.runtime.description, threads=self.threads,
            seconds_of_audio=part.program.frames / part.component.frame_rate,
            tick=lambda detail: self.report(f"{step}, {detail}"),
        )  # fmt: skip

    def in_floats(self, planned: Program) -> Floats | None:
        """What integers have to beat: the same network in the target's floats; None without integers to time."""
        if not any(planned.plan.is_written(node) for node in planned.plan.nodes):
            return None
        precision: Precision = "fp16" if self.target.arithmetic == "float16" else "fp32"
        return Floats(precision, self.load(replace(planned, plan=PrecisionPlan(default=precision))).run)


def layers(program: Program) -> list[str]:
    """The nodes that compute something, by name: what a plan is for. What moves values about may differ by length."""
    computing = set(program.compute_nodes())
    return [node.name for node in program.graph.nodes if node.name in computing and not moves(node)]


def prepare_trial(request: Request, files: VoiceFiles, voice: VoiceModel, frames: int, report: Report) -> Trial | None:
    """The conversion that every bundle is tried with; None for a voice without a content encoder.

    Raises:
        RecipeError: a sample or a gate is asked for, and the voice cannot convert.
    """
    if not request.convert:
        return None
    if files.content is None:
        if request.sample or request.gates:
            raise RecipeError("gates and samples need a voice that can convert; give a content encoder with --content")
        return None
    sample = request.sample or files.sample or demo_sample()
    report(f"converting {sample.name} with PyTorch")
    return Trial.of(
        voice,
        frames,
        sample,
        request.reference or files.reference(request.speaker),
        speaker=request.speaker,
        transpose=request.transpose,
    )
