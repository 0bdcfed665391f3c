"""What this machine has, and what it can do for each target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voxc.backends import BACKENDS, backend_of
from voxc.compiler.core.machine import machine_model
from voxc.compiler.core.runner import TORCH, Requirement
from voxc.compiler.core.target import Target
from voxc.compiler.measure.quality.needs import QUALITY_NEEDS
from voxc.compiler.report.needs import REPORT_NEEDS

#: What comes with voxc itself, and what for: without it no bundle runs.
CORE_USES: Mapping[str, Sequence[str]] = {
    "numpy": ["arrays"],
    "onnxruntime": [],
    "soundfile": ["reading recordings"],
    "soxr": ["resampling"],
    "praat-parselmouth": ["pitch"],
}
CORE = tuple(Requirement(package, "pip install voxc") for package in CORE_USES)


@dataclass(frozen=True)
class Ability:
    """Whether this machine can do something for a target, and if not, why."""

    able: bool
    why_not: str = ""


@dataclass(frozen=True)
class TargetSurvey:
    """A target, and whether this machine can emit for it, run what it emitted, and measure it as the device would."""

    target: Target
    emit: Ability
    run: Ability
    measure: Ability


@dataclass(frozen=True)
class Finding:
    """One package that voxc uses: its version, None if it is missing, and what to do then. Without one that is `needed`
    voxc does not work; one that is not is for some of what it does."""

    package: str
    version: str | None
    used_for: str
    install: str
    needed: bool


def survey_target(target: Target) -> TargetSurvey:
    backend = backend_of(target)
    emit, run = ability((TORCH, *backend.emit_needs)), ability(backend.run_needs)
    measure = run
    if run.able and not target.is_machine(machine_model()):
        measure = Ability(False, "only on the device")
    elif run.able and backend.runtime().evidence == "reference":
        measure = Ability(False, "only in the target's own runtime")
    return TargetSurvey(target, emit, run, measure)


def ability(needs: tuple[Requirement, ...]) -> Ability:
    missing = [need.package for need in needs if need.version is None]
    return Ability(not missing, f"missing: {', '.join(missing)}" if missing else "")


def survey_packages() -> list[Finding]:
    """Everything that running bundles, compiling and measuring need, with the version that is installed; what is needed
    first."""
    needs = {need.package: need for need in (*CORE, TORCH)}
    uses = {**CORE_USES, TORCH.package: ["loading checkpoints", "eager float32"]}
    for purpose, requirements in (
        *((f"emitting {backend.name}", backend.emit_needs) for backend in BACKENDS.values()),
        *((f"running {backend.name}", backend.run_needs) for backend in BACKENDS.values()),
        ("measuring quality", QUALITY_NEEDS),
        ("writing reports", REPORT_NEEDS),
    ):
        for need in requirements:
            needs.setdefault(need.package, need)
            uses[need.package] = [*uses.get(need.package, []), purpose]
    return [
        Finding(name, need.version, ", ".join(dict.fromkeys(uses[name])), need.install, need in CORE)
        for name, need in needs.items()
    ]
