"""`make demo`: compiles the bundled voice for every target that this machine can emit, and tells what came out."""

from __future__ import annotations

import sys
from pathlib import Path

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import VoxcError
from voxc.compiler.core.target import load_targets
from voxc.compiler.driver import compile_model
from voxc.compiler.families.rvc.files import demo_directory
from voxc.compiler.report.page import write_report
from voxc.compiler.report.table import COLUMNS, labels, row
from voxc.compiler.request import Request
from voxc.compiler.survey import survey_target
from voxc.compiler.terminal import progress, show, table
from voxc.compiler.verify import verify_bundle

BUNDLES = Path("demo-bundles")
REPORT = Path("demo-report.html")
SPEAKER = 1


def demo() -> bool:
    """Whether every bundle passed its gates and is what its manifest says."""
    surveys = [survey_target(target) for target in load_targets().values()]
    targets = tuple(survey.target for survey in surveys if survey.emit.able)
    with progress() as report:
        bundles = [
            Bundle(place, manifest)
            for place, manifest in compile_model(Request(demo_directory(), targets, BUNDLES, speaker=SPEAKER), report)
        ]
        checks = {bundle.directory: verify_bundle(bundle.directory, report=report) for bundle in bundles}
        report("writing the report")
        write_report([bundle.directory for bundle in bundles], REPORT)
    rows = [tuple(map(str, row(label, bundle))) for label, bundle in zip(labels(bundles), bundles, strict=True)]
    wrong = [f"{bundle.directory}: {failure}" for bundle in bundles for failure in bundle.manifest.failures]
    wrong += [
        f"{place}: {check.what}: {check.seen}" for place, made in checks.items() for check in made if not check.passed
    ]
    show("", table("", COLUMNS, rows), "", *(f"FAILED: {what}" for what in wrong))
    show(f"{len(bundles)} bundles in {BUNDLES}/; to hear and see them, open {REPORT.resolve().as_uri()}")
    return not wrong


if __name__ == "__main__":
    try:
        sys.exit(0 if demo() else 1)
    except VoxcError as error:
        sys.exit(f"demo: {error}")
