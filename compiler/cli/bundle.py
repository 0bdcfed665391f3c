"""`voxc verify`, `voxc measure`, `voxc explain` and `voxc report`: what bundles are and do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voxc.compiler.cli import options
from voxc.compiler.cli.output import print_json
from voxc.compiler.core.errors import QualityError

#: Checks that passed, failed, and could not be made.
STATES = {True: "ok", False: "FAILED", None: "-"}


def verify(bundle: options.BundlePath, threads: options.Threads = None, json: options.Json = False) -> None:
    """Check a bundle's files against its manifest and run its reference inputs again."""
    from dataclasses import asdict

    from voxc.compiler.terminal import progress, show, table
    from voxc.compiler.verify import verify_bundle

    with progress() as report:
        checks = verify_bundle(bundle, threads, report)
    if json:
        print_json({"bundle": str(bundle), "checks": [asdict(check) for check in checks]})
    else:
        show(
            table(
                "",
                ("", "check", "seen"),
                [(STATES[check.passed], check.what, check.seen) for check in checks],
            )
        )
    failed = [check.what for check in checks if check.passed is False]
    if failed:
        raise QualityError(f"{bundle}: failed: {', '.join(failed)}")


def measure(
    bundle: options.BundlePath,
    on: options.On = None,
    python: options.DevicePython = None,
    component: options.Components = None,
    threads: options.DeviceThreads = None,
    compute_units: options.ComputeUnits = None,
    runs: options.Runs = 100,
    seconds: options.Seconds = 10.0,
    limit: options.Limit = 3600.0,
    ssh_config: options.SshConfig = None,
    gate: options.Gates = None,
    json: options.Json = False,
) -> None:
    """Run, compare and time a bundle on its device, and add what was found to its manifest."""
    from voxc.compiler.core.gates import Gate, failures
    from voxc.compiler.device.measure import MeasureOptions, measure_bundle
    from voxc.compiler.terminal import device_summary, progress, show
    from voxc.compiler.totals import gated_figures

    gates = [str(Gate.parse(text)) for text in gate or ()]
    asked = MeasureOptions(
        on, python, tuple(component or ()), threads, compute_units, runs, seconds, limit, ssh_config
    )  # fmt: skip
    with progress() as report:
        measured = measure_bundle(bundle, asked, report)
    if json:
        print_json(
            {"bundle": str(bundle), "merged": not measured.failures, "run": measured.run.model_dump(mode="json")}
        )
    else:
        show(*device_summary(measured.run))
    if measured.failures:
        raise QualityError(f"{bundle}: {'; '.join(measured.failures)}; the manifest is as it was")
    shut = failures(gates, gated_figures(measured.manifest))
    if shut:
        raise QualityError(f"{bundle}: {'; '.join(shut)}")


def explain(
    bundle: options.BundlePath,
    brief: Annotated[bool, typer.Option("--brief", help="Only what is not where it should be, by kind.")] = False,
    json: options.Json = False,
) -> None:
    """Show where the operators of a bundle run, and what would move those that are not where they should be."""
    from voxc.compiler.explain import explain_bundle
    from voxc.compiler.explain_report import document, report
    from voxc.compiler.terminal import show

    explanations = explain_bundle(bundle)
    if json:
        print_json({"bundle": str(bundle), "components": [document(each) for each in explanations]})
    else:
        show(*(part for each in explanations for part in report(each, brief)))


def report(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles of one voice.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page, .html.")] = Path("report.html"),
) -> None:
    """Write a page to hear, see and compare bundles of one voice."""
    from voxc.compiler.report.page import write_report

    write_report(bundles, output)
    print(output)
