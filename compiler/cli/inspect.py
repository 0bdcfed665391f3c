"""`voxc inspect`: what is in a bundle or a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voxc.compiler.cli import options
from voxc.compiler.cli.families import FAMILY_OPTIONS
from voxc.compiler.cli.output import describe, print_json, warn


def inspect(
    context: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE|MODEL", help="A bundle directory or a voice.", show_default=False),
    ],
    family: options.Family = None,
    json: options.Json = False,
) -> None:
    """Show what is in a bundle or a model."""
    from voxc.compiler.manifest import MANIFEST_NAME, read_manifest
    from voxc.compiler.terminal import describe_cpu, figures_table, operator_table, precision_table, show, table

    if (path / MANIFEST_NAME).exists():
        manifest = read_manifest(path)
        if json:
            print_json(manifest.model_dump(mode="json"))
            return
        build = manifest.build
        show(f"{path}: {manifest.status}, build {manifest.build_digest}")
        sources = ", ".join(file.name for file in build.source.files.values())
        show(f"{sources} ({build.source.family} {describe(build.source.facts)}) for {build.target.name}")
        recipe = build.recipe
        lengths = ", ".join(str(length) for length in (recipe.frames, *recipe.lengths))
        show(f"segments of {lengths} frames{recipe.why_frames and f': {recipe.why_frames}'}")
        threads = manifest.measurements.threads
        show(f"compiled on {describe_cpu(manifest.measurements.machine)}, {threads} thread{'s' * (threads > 1)}")
        for component in build.components:
            files = f"{component.format}{' and a fallback' if component.fallback else ''}"
            show(table(f"\n{component.name}: {files}, {describe(component.precision_histogram)}", (
                "tensor", "shape", "dtype", "unit", "meaning"), [
                (spec.name, str(list(spec.shape)).replace("'", ""), spec.dtype, spec.unit, spec.meaning)
                for spec in component.inputs + component.outputs
            ]))  # fmt: skip
            show(precision_table(component), operator_table(component))
            show(
                table("\nPasses", ("pass", "notes"), [(done.name, "; ".join(done.notes)) for done in component.passes])
            )
        show("", figures_table(manifest))
        return

    from voxc.compiler.families import load_model

    model = load_model(path, context.meta[FAMILY_OPTIONS], family)
    for warning in model.warnings:
        warn(warning)
    names = [component.name for component in model.components]
    facts: dict[str, object] = {"family": model.family, **model.facts, **model.settings, "components": names}
    if json:
        print_json(facts)
    else:
        show(table(str(path), ("", ""), [(name, str(value)) for name, value in facts.items()]))
