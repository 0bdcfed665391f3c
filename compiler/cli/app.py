"""The command line: which commands there are. Each parses, calls, prints; heavy imports wait inside the commands, so
that --help is quick."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

import typer

from voxc.compiler.cli import bundle, cache, calibrate, compile, convert, inspect, machine, run
from voxc.compiler.cli.families import FamilyCommand
from voxc.compiler.cli.output import tell
from voxc.compiler.core.errors import InputError, VoxcError

app = typer.Typer(
    name="voxc",
    help="The compiler for voice-conversion models: a PyTorch voice in, measured per-device artifacts out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """`function`, whose errors become one line on stderr and the exit code of the error; paths that the system or a
    library refuses without anybody having foreseen it count as wrong input."""

    @functools.wraps(function)
    def run_guarded(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except VoxcError as error:
            tell("error", error)
            raise typer.Exit(error.exit_code) from None
        except UnicodeEncodeError as error:
            tell("error", f"{error.object}: is not UTF-8, and not all libraries open such a path; rename it")
            raise typer.Exit(InputError.exit_code) from None
        except OSError as error:
            tell("error", f"{error.filename or 'a file'}: {error.strerror or error}")
            raise typer.Exit(InputError.exit_code) from None

    return run_guarded


def print_version(requested: bool) -> None:
    if requested:
        from voxc.compiler.version import describe_version

        print(f"voxc {describe_version()}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=print_version, is_eager=True)
    ] = False,
) -> None:
    pass


#: Each command with an example for its help.
COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (compile.compile, "voxc compile voice.pth --target onnxruntime-cpu -o voice-cpu"),
    (bundle.report, "voxc report demo-bundles/* -o report.html"),
    (machine.targets, "voxc targets --json"),
    (machine.doctor, "voxc doctor"),
    (inspect.inspect, "voxc inspect voice-onnxruntime-cpu"),
    (run.run, "voxc run voice-cpu --component synthesizer --inputs voice-cpu/reference.npz --outputs out.npz"),
    (convert.convert, "voxc convert speech.wav --bundle voice-cpu -o converted.wav --transpose 5"),
    (calibrate.calibrate, "voxc calibrate voice.pth --content hubert --audio recordings -o calib.npz"),
    (bundle.verify, "voxc verify voice-cpu"),
    (bundle.measure, "voxc measure voice-raspberry-pi --on ssh://pi@raspberrypi.local --python venv/bin/python"),
    (bundle.explain, "voxc explain voice-apple-ane --brief"),
    (cache.cache, "voxc cache --clear --kind exports"),
)
#: Commands that read a model take the options of its family too.
READS_MODEL = (compile.compile, inspect.inspect, calibrate.calibrate)

for function, example in COMMANDS:
    app.command(epilog=f"Example: {example}", cls=FamilyCommand if function in READS_MODEL else None)(guarded(function))
