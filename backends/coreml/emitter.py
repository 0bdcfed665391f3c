"""A program as a Core ML package; the same component at several segment lengths as functions of one package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voxc.backends.coreml import sdk
from voxc.backends.coreml.builder import CoreMLBuilder
from voxc.backends.coreml.metadata import describe
from voxc.backends.coreml.ops import LOWERINGS
from voxc.backends.coreml.sdk import Function
from voxc.backends.coreml.writer import write_package
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target

#: The first systems with several functions in a package, which is how it holds several lengths with its weights once.
FIRST_WITH_FUNCTIONS = "iOS18"
MAIN = "main"


def emit(program: Program, target: Target, package: Path, lengths: Sequence[Program] = ()) -> tuple[Path, ...]:
    """Writes the package, a folder; gives its files, the manifest first.

    Raises:
        UnsupportedError: a call has no lowering, or one that does not cover its arguments.
    """
    deployment = deployment_of(target, bool(lengths))
    system = sdk.opset(deployment)
    functions = functions_of(program, lengths)
    with sdk.quiet(), sdk.fresh_names():
        program_of_functions = sdk.Program()
        for name, each in functions.items():
            program_of_functions.add_function(name, lower(each, system))
        program_of_functions.default_function_name = next(iter(functions))
        program_of_functions.export_as_multifunction = len(functions) > 1
        sdk.drop_dead_code(program_of_functions)

        def make(weights: Path) -> sdk.proto.Model_pb2.Model:
            model = sdk.export(program_of_functions, str(weights), specification_version=system.value)
            describe(model, functions, target, deployment)
            return model

        return write_package(package, make)


def deployment_of(target: Target, several: bool) -> str:
    """The oldest system that the package is for."""
    asked = target.deployment
    assert asked is not None, f"{target.name} has no deployment"
    return max(asked, FIRST_WITH_FUNCTIONS, key=lambda name: int(name.removeprefix("iOS"))) if several else asked


def functions_of(program: Program, lengths: Sequence[Program]) -> dict[str, Program]:
    """The functions by name, the default one first."""
    if not lengths:
        return {MAIN: program}
    return {f"frames_{each.frames}": each for each in (program, *lengths)}


def lower(program: Program, system: sdk.ct.target) -> Function:
    """The nodes of the program as a function, with the program's inputs and outputs as they are."""
    build = CoreMLBuilder(program, grouped=system >= sdk.opset(FIRST_WITH_FUNCTIONS))
    with Function(build.placeholders(), opset_version=system) as function:
        build.parameters = function.inputs
        build.lower_graph(LOWERINGS)
        function.set_outputs(list(build.outputs.values()))
    return function
