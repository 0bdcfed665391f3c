"""`voxc targets` and `voxc doctor`: what this machine can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voxc.compiler.cli import options
from voxc.compiler.cli.output import print_json

if TYPE_CHECKING:
    from voxc.compiler.survey import Ability, Finding


def targets(json: options.Json = False) -> None:
    """List the targets, and what this machine can do for each."""
    from voxc.backends import known_targets
    from voxc.compiler.survey import survey_target
    from voxc.compiler.terminal import entries, is_narrow, show, table

    surveys = [survey_target(target) for target in known_targets().values()]
    if json:
        from dataclasses import asdict

        print_json([asdict(survey) | {"target": survey.target.model_dump(mode="json")} for survey in surveys])
        return

    rows = [
        (
            survey.target.name, survey.target.description, ", ".join(survey.target.told_precisions),
            *(told(each) for each in (survey.emit, survey.run, survey.measure)),
        )
        for survey in surveys
    ]  # fmt: skip
    columns = ("target", "what it is", "precisions", "emits here", "runs here", "measures here")
    show(*(entries(columns, rows) if is_narrow() else [table("", columns, rows)]))


def told(ability: Ability) -> str:
    return "yes" if ability.able else f"no ({ability.why_not})"


def doctor(json: options.Json = False) -> None:
    """Show this machine, the packages that voxc found, and what to install for the rest."""
    from dataclasses import asdict

    from voxc.compiler.core.machine import this_machine
    from voxc.compiler.survey import survey_packages
    from voxc.compiler.terminal import describe_cpu, entries, is_narrow, show, table

    machine, findings = this_machine(), survey_packages()
    if json:
        print_json({"machine": machine.model_dump(mode="json"), "packages": [asdict(finding) for finding in findings]})
    else:
        show(
            f"{describe_cpu(machine)}, {machine.cores} cores, {machine.memory_gib} GiB, "
            f"{machine.system}, Python {machine.python}"
        )
        columns = ("package", "version", "used for", "install")
        for title, needed in (("Needed", True), ("Optional", False)):
            rows = [
                (found.package, found.version or "missing", found.used_for, "" if found.version else found.install)
                for found in findings if found.needed == needed
            ]  # fmt: skip
            show(f"\n{title}", *(entries(columns, rows) if is_narrow() else [table("", columns, rows)]))
        print_remedies(findings)
    missing = [found.package for found in findings if found.version is None and found.needed]
    if missing:
        from voxc.compiler.core.errors import MissingRuntimeError

        raise MissingRuntimeError(f"missing: {', '.join(missing)}; pip install voxc")


def print_remedies(findings: list[Finding]) -> None:
    """What to paste for all that is missing: each line once."""
    from voxc.compiler.terminal import show

    lines: dict[str, list[str]] = {}
    for found in findings:
        if found.version is None:
            lines.setdefault(found.install, []).append(found.package)
    show("" if lines else "\nNothing is missing.", *(f"{line}  # {', '.join(names)}" for line, names in lines.items()))
