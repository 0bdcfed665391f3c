"""What this machine has, and what it can do for each target."""

from __future__ import annotations

from dataclasses import dataclass

from voxc.backends import BACKENDS, backend_of
from voxc.compiler.core.machine import machine_model
from voxc.compiler.core.runner import Requirement
from voxc.compiler.core.target import Target
from voxc.compiler.measure.quality.needs import QUALITY_NEEDS
from voxc.compiler.report.needs import REPORT_NEEDS

#: What voxc does nothing without; what is installed by the same line comes with voxc itself.
TORCH = Requirement("torch", "pip install voxc")


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
    voxc compiles for nothing."""

    package: str
    version: str | None
    used_for: str
    install: str
    needed: bool


def survey_target(target: Target) -> TargetSurvey:
    backend = backend_of(target)
    emit, run = ability(backend.emit_needs), ability(backend.run_needs)
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
    """Everything that loading, emitting and running need, with the version that is installed; what is needed first."""
    needs = {TORCH.package: TORCH}
    uses: dict[str, list[str]] = {TORCH.package: ["loading checkpoints", "eager float32"]}
    for purpose, requirements in (
        *((f"emitting {backend.name}", backend.emit_needs) for backend in BACKENDS.values()),
        *((f"running {backend.name}", backend.run_needs) for backend in BACKENDS.values()),
        ("measuring quality", QUALITY_NEEDS),
        ("writing reports", REPORT_NEEDS),
    ):
        for need in requirements:
            needs.setdefault(need.package, need)
            uses.setdefault(need.package, []).append(purpose)
    findings = [
        Finding(name, need.version, ", ".join(uses[name]), need.install, need.install == TORCH.install)
        for name, need in needs.items()
    ]
    return sorted(findings, key=lambda finding: not finding.needed)
