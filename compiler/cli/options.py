"""Arguments and options of the command line, each described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voxc.compiler.cli.output import warn


def complete_target(incomplete: str) -> list[str]:
    from voxc.backends import known_targets
    from voxc.compiler.core.target import ALL

    return [name for name in (*known_targets(), ALL) if name.startswith(incomplete)]


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


def up_to_cores(option: typer.CallbackParam, value: int | None) -> int | None:
    return None if value is None else bounded(str(option.name), value)


def bounded(name: str, value: int) -> int:
    """A number of threads or jobs that makes sense on this machine. Raises typer.BadParameter for none at all."""
    from voxc.compiler.core.machine import usable_cores

    cores = usable_cores()
    if value < 1:
        raise typer.BadParameter(f"{value}: give 1 to {cores}, as many as this machine has cores")
    if value > cores:
        warn(f"--{name} {value}: this machine has {cores} cores; {cores} are used")
    return min(value, cores)


Threads = Annotated[
    int | None,
    typer.Option(help="Threads of the runtime. (default: the target's, else all cores)", callback=up_to_cores),
]
Jobs = Annotated[int, typer.Option(help="How many recordings to convert at a time.", callback=up_to_cores)]
#: Of a device that may be another machine.
DeviceThreads = Annotated[
    int | None, typer.Option(min=1, help="Threads of the runtime. (default: the target's, else all cores)")
]
Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="A voice as RVC saves it (.pth), a directory with one and its index and encoder, or 'demo'.",
        show_default=False,
    ),
]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle directory.", show_default=False)]

# What to compile, and for what.
Targets = Annotated[
    list[str],
    typer.Option(
        "--target",
        "-t",
        metavar="NAME[,NAME...]|all",
        help="What to compile for (`voxc targets` lists them); several times, or all that this machine can emit for.",
        autocompletion=complete_target,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="The bundle; with several targets, the directory of the bundles. (default: MODEL-TARGET)"
    ),
]
Segment = Annotated[
    float | None, typer.Option(help="Segment length in seconds. (default: 2; 4 with a content encoder)")
]
Frames = Annotated[int | None, typer.Option(help="Segment length in frames, instead of --segment.")]
SeveralFrames = Annotated[
    str | None,
    typer.Option(
        "--frames",
        metavar="N[,N...]",
        help="Segment length in frames, instead of --segment; several ('100,150,200') for one artifact that takes "
        "each, where the target can.",
    ),
]
Dynamic = Annotated[bool, typer.Option("--dynamic", help="Leave the segment length open.")]
VerifyPasses = Annotated[bool, typer.Option("--verify-passes", help="Check the numbers after every pass.")]
Family = Annotated[
    str | None, typer.Option(help="The family of the model: rvc, ... (default: the one that recognises the file)")
]
AxisSizes = Annotated[
    list[str] | None,
    typer.Option("--size", metavar="AXIS=N", help="The length of an axis that is not time; several times."),
]
Fallback = Annotated[
    bool,
    typer.Option("--with-fallback", help="Add the networks for PyTorch, to run those whose artifacts fail."),
]
# What to keep between compiles.
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="DIR",
        envvar="VOXC_CACHE",
        help="Where work is kept between compiles. (default: voxc in the user's caches)",
    ),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Do all work anew, and keep none of it for the next compile.")
]

# What to compute in.
Precisions = Annotated[
    list[str] | None,
    typer.Option(
        "--precision",
        "-p",
        metavar="POLICY|PATTERN=PRECISION",
        help="What to compute in, and exceptions for modules: 'int8', 'dec.*=fp32'; several times. "
        "(default: the target's first)",
    ),
]
AllowEmulated = Annotated[
    bool,
    typer.Option(
        "--allow-emulated",
        help="Where a target cannot compute in a precision, store weights in it: smaller, no faster.",
    ),
]
Recipe = Annotated[
    Path | None,
    typer.Option(
        help="YAML with policy, overrides, observer, min_snr, calibration, implicit, allow_emulated; options go first."
    ),
]
MinSnr = Annotated[
    float | None, typer.Option(help="dB of float32 that a quantized component has to keep. (default: 25)")
]
Samples = Annotated[
    Path | None,
    typer.Option(help="What ranges come from: an NPZ of `voxc calibrate`, a recording, a directory of them."),
]
Observer = Annotated[
    str | None,
    typer.Option(help="How ranges are found: mse, minmax, percentile or entropy. (default: mse)"),
]
Implicit = Annotated[
    bool,
    typer.Option(
        "--implicit", help="Leave it to the device's own timing which int8 layers compute in floats (TensorRT)."
    ),
]
Plan = Annotated[Path | None, typer.Option(help="A plan to use again: plan.json, or the bundle that it is in.")]

# What to convert, and how.
Sample = Annotated[
    Path | None,
    typer.Option(help="A recording to convert, to measure how the bundle sounds. (default: a short one)"),
]
References = Annotated[
    list[Path] | None,
    typer.Option("--reference", help="A recording of the target speaker, to compare the result with; several times."),
]
Speaker = Annotated[int, typer.Option(help="Which of the voice's speakers to speak as.")]
Transpose = Annotated[float, typer.Option(help="Semitones up.")]
SampleTranspose = Annotated[
    float | None, typer.Option(help="Semitones up for the sample. (default: to the pitch of the reference)")
]
NoSample = Annotated[
    bool, typer.Option("--no-sample", help="Convert nothing: then the manifest does not say how the bundle sounds.")
]
NoMeasure = Annotated[
    bool,
    typer.Option("--no-measure", help="Time nothing here, and let estimates choose; `voxc measure` adds times later."),
]
Gates = Annotated[
    list[str] | None,
    typer.Option(help="Fail unless a figure is good enough: 'secs>=0.8', 'size_mib<=50', 'speedup>=2'; several times."),
]

# Where to measure, and how.
On = Annotated[
    str | None,
    typer.Option(metavar="ssh://[USER@]HOST[:PORT]", help="The device. (default: this machine)"),
]
DevicePython = Annotated[
    str | None, typer.Option(help="The device's Python that has the runtime. (default: python3; here, voxc's own)")
]
Components = Annotated[list[str] | None, typer.Option(help="Only this component; several times.")]
ComputeUnits = Annotated[
    str | None, typer.Option(help="Where Core ML or MLX may run: CPU_AND_NE, CPU_ONLY ... (default: the target's)")
]
Runs = Annotated[int, typer.Option(help="Timed runs at most.")]
Seconds = Annotated[float, typer.Option(help="How long to begin timed runs, for each component.")]
Limit = Annotated[float, typer.Option(help="Seconds after which to give up.")]
SshConfig = Annotated[Path | None, typer.Option(help="What ssh reads instead of the user's configuration.")]
