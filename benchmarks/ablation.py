"""What each pass and each precision is worth for a voice and a target, one left out at a time: time, bytes and SNR.

Makes the voice with all passes in the target's first precision in floats; then without each pass in turn; then with all
passes in each other precision. Runs all of these and PyTorch eager in turn after warm-up, in one run. Prints the
median, its ratio to the first (above 1 is slower), the bytes of the artifacts and the lowest SNR of the components, and
why the target cannot do without a pass. Times are printed where this machine has the target's own runtime.

    python benchmarks/ablation.py [--voice voice.pth] [--target onnxruntime-cpu] [--runs 10] [--threads 2]
        [--frames 200] [--precision int8 ...] [--pass fold_flips ...]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from full_size import write_voice

from voxc.backends import known_targets
from voxc.compiler.core.errors import VoxcError
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.machine import cpu_name, usable_cores
from voxc.compiler.core.plan import Policy
from voxc.compiler.core.program import Program
from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.core.runner import Runner
from voxc.compiler.core.target import Target, find_target
from voxc.compiler.core.threads import torch_threads
from voxc.compiler.job import Job
from voxc.compiler.measure.latency import interleave
from voxc.compiler.request import Request
from voxc.compiler.session import Session
from voxc.compiler.stages.work import Part, Work
from voxc.passes.pipeline import pipeline

FLOATS = ("fp32", "fp16")


@dataclass(frozen=True)
class Side:
    """All components of the voice, made in one way."""

    runners: tuple[tuple[Part, Runner], ...]
    bytes: int

    def run(self) -> None:
        for part, runner in self.runners:
            runner.run(part.inputs)

    @property
    def snr(self) -> float:
        """The lowest of all outputs, in dB."""
        return min(
            snr_db(part.expected[name], array)
            for part, runner in self.runners
            for name, array in runner.run(part.inputs).items()
        )


def make(session: Session, request: Request, work: Work, policy: Policy, without: str = "") -> Side:
    """Raises VoxcError if the voice cannot be compiled in this way."""
    (target,) = request.targets
    job = Job(session, replace(request, precision=PrecisionRecipe(policy=policy)), target, work)
    runners, size = [], 0
    for part in work.parts:
        program = passed(part.program, target, without)
        program = job.decider.quantize(job.decider.decide(part.component, program).program)
        with tempfile.TemporaryDirectory() as folder:
            files = job.emit(program, Path(folder)).files
            size += sum(file.stat().st_size for file in files)
            runners.append((part, job.backend.load(files[0], job.threads)))
    return Side(tuple(runners), size)


def passed(program: Program, target: Target, without: str) -> Program:
    for compiler_pass in pipeline(target):
        if compiler_pass.name != without:
            program = compiler_pass(program, target).program
    return program


def eager(work: Work) -> Callable[[], None]:
    calls = [
        (part.component.module, [torch.from_numpy(part.inputs[spec.name]) for spec in part.component.inputs])
        for part in work.parts
    ]

    def run() -> None:
        with torch.inference_mode():
            for module, arguments in calls:
                module(*arguments)

    return run


def ways(target: Target, options: argparse.Namespace) -> Iterator[tuple[str, Policy, str]]:
    """Label, precision and the pass to leave out; the first is what all others are compared with."""
    base = next((name for name in target.precisions if name in FLOATS), target.default_precision)
    yield f"all passes, {base}", base, ""
    for compiler_pass in pipeline(target):
        if not options.passes or compiler_pass.name in options.passes:
            yield f"without {compiler_pass.name}", base, compiler_pass.name
    for policy in options.precision or [name for name in target.precisions if name != "auto"]:
        if policy != base:
            yield f"all passes, {policy}", policy, ""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", type=Path, help="a voice (default: one of full size with random weights)")
    parser.add_argument("--target", default="onnxruntime-cpu")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument(
        "--precision", nargs="*", help="which to try (default: all of the target but auto, which searches)"
    )
    parser.add_argument("--pass", nargs="*", dest="passes", metavar="NAME", help="which to leave out (default: each)")
    return parser.parse_args()


def main() -> None:
    options = parse()
    target = find_target(options.target, known_targets())
    with tempfile.TemporaryDirectory() as folder:
        voice = options.voice or write_voice(Path(folder) / "voice.pth")
        request = Request(voice, (target,), frames=options.frames, threads=options.threads, convert=False)
        session = Session()
        work = session.work(request)
        print(f"{voice.name} for {target.name}, {options.frames} frames; {cpu_name()}, {options.threads} threads")
        sides: dict[str, Side] = {}
        refused: dict[str, str] = {}
        for label, policy, without in ways(target, options):
            try:
                sides[label] = make(session, request, work, policy, without)
                sides[label].run()
            except VoxcError as error:
                sides.pop(label, None)
                refused[label] = str(error)
        report(sides, work, options, timed=Job(session, request, target, work).runtime.evidence != "reference")
    for label, reason in refused.items():
        print(f"{label}: impossible: {reason}")


def report(sides: dict[str, Side], work: Work, options: argparse.Namespace, *, timed: bool) -> None:
    first, *_ = sides
    times: dict[str, float] = {}
    if timed:
        contenders: dict[str, Callable[[], object]] = {"PyTorch eager": eager(work)}
        contenders |= {label: side.run for label, side in sides.items()}
        with torch_threads(options.threads):
            taken = interleave(contenders, options.runs, float("inf"))
        times = {label: latency.median for label, latency in taken.items()}
    print(f"{'':40}{'median ms':>11}{'ratio':>8}{'MiB':>9}{'SNR, dB':>9}")
    for label in (*times, *(label for label in sides if label not in times)):
        took = f"{times[label] * 1e3:11.1f}{times[label] / times[first]:8.2f}" if timed else f"{'-':>11}{'-':>8}"
        made = f"{sides[label].bytes / (1 << 20):9.2f}{sides[label].snr:9.1f}" if label in sides else ""
        print(f"{label:40}{took}{made}")


if __name__ == "__main__":
    main()
