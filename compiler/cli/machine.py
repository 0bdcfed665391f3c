"""`voxc targets` and `voxc doctor`: what this machine can do."""

from __future__ import annotations

from voxc.compiler.cli import options
from voxc.compiler.cli.output import print_json


def targets(json: options.Json = False) -> None:
    """List the targets, and what this machine can do for each."""
    from voxc.backends import known_targets
    from voxc.compiler.survey import Ability, survey_target
    from voxc.compiler.terminal import show, table

    surveys = [survey_target(target) for target in known_targets().values()]
    if json:
        from dataclasses import asdict

        print_json([asdict(survey) | {"target": survey.target.model_dump(mode="json")} for survey in surveys])
        return

    def told(ability: Ability) -> str:
        return "yes" if ability.able else f"no ({ability.why_not})"

    rows = [
        (
            survey.target.name, survey.target.description, ", ".join(survey.target.told_precisions),
            told(survey.emit), told(survey.run), told(survey.measure),
        )
        for survey in surveys
    ]  # fmt: skip
    show(table("", ("target", "what it is", "precisions", "emits here", "runs here", "measures here"), rows))


def doctor(json: options.Json = False) -> None:
    """Show this machine, the runtimes that voxc found, and what to install for the rest."""
    from dataclasses import asdict

    from voxc.compiler.core.machine import this_machine
    from voxc.compiler.survey import survey_packages
    from voxc.compiler.terminal import describe_cpu, show, table

    machine, findings = this_machine(), survey_packages()
    if json:
        print_json({"machine": machine.model_dump(mode="json"), "packages": [asdict(finding) for finding in findings]})
    else:
        show(
            f"{describe_cpu(machine)}, {machine.cores} cores, {machine.memory_gib} GiB, "
            f"{machine.system}, Python {machine.python}",
            table("", ("package", "version", "used for", "install"), [
                (found.package, found.version or "missing", found.used_for, "" if found.version else found.install)
                for found in findings
            ]),
        )  # fmt: skip
    missing = [found.package for found in findings if found.version is None]
    if missing:
        from voxc.compiler.core.errors import MissingRuntimeError

        raise MissingRuntimeError(f"missing: {', '.join(missing)}")
