"""`voxc run`: one component on raw tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voxc.compiler.cli import options
from voxc.compiler.cli.output import print_json, standing_by, tell_runtime


def run(
    bundle: options.BundlePath,
    component: Annotated[str, typer.Option(help="Which component of the bundle.")],
    inputs: Annotated[Path, typer.Option(help="NPZ file with the inputs by name.")],
    outputs: Annotated[Path, typer.Option(help="NPZ file to write the outputs to.")],
    threads: options.Threads = None,
    json: options.Json = False,
) -> None:
    """Run one component on raw tensors."""
    from voxc.compiler.bundle import Bundle
    from voxc.compiler.runtime.component import run_file
    from voxc.compiler.terminal import show

    fallbacks = standing_by()
    found = run_file(bundle, component, inputs, outputs, threads, fallbacks)
    runtime = tell_runtime(Bundle.open(bundle), [component], fallbacks)
    if json:
        shapes = {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in found.items()}
        print_json({"outputs": str(outputs), "tensors": shapes, "runtime": runtime, "fallbacks": fallbacks.reasons})
    else:
        for name, array in found.items():
            show(f"{name}  {list(array.shape)}  {array.dtype}")
        if fallbacks.reasons:
            show(f"by PyTorch: {component}")
