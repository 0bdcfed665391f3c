"""Programs in the cache: what is loaded compiles to the same bytes as what was saved."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch._export.verifier import load_verifier
from torch.export import ExportedProgram, ModuleCallEntry, ModuleCallSignature
from torch.export.graph_signature import ExportGraphSignature, TensorArgument
from torch.utils import _pytree as pytree

from voxc.compiler.cache.entry import UnsuitableEntry
from voxc.compiler.cache.graphs import (
    describe_graph,
    describe_signature,
    graph_of,
    inputs_of,
    outputs_of,
)
from voxc.compiler.cache.sizes import describe_expression, describe_range, expression_of, range_of
from voxc.compiler.cache.weights import read_weights, write_weights
from voxc.compiler.core.plan import PrecisionPlan
from voxc.compiler.core.program import PassRecord, Program
from voxc.compiler.core.tensor import TensorSpec

PROGRAM_NAME = "program.json"
WEIGHTS_NAME = "weights.bin"
SPECS = TypeAdapter(tuple[TensorSpec, ...])
HISTORY = TypeAdapter(tuple[PassRecord, ...])


def save_program(program: Program, folder: Path) -> None:
    """Writes a program into `folder`. Its example inputs and torch.export's guards on sizes are not kept.

    Raises:
        UnsuitableEntry: the graph has something that cannot be described, as a branch.
        OSError: the folder cannot be written.
    """
    exported = program.exported
    signature = exported.graph_signature
    weights = write_weights(folder / WEIGHTS_NAME, {**exported.state_dict, **exported.constants})
    document = {
        "name": program.name,
        "sizes": dict(program.sizes),
        "inputs": SPECS.dump_python(program.inputs, mode="json"),
        "outputs": SPECS.dump_python(program.outputs, mode="json"),
        "noise": SPECS.dump_python(program.noise, mode="json"),
        "plan": program.plan.model_dump(mode="json"),
        "history": [asdict(record) for record in program.history],
        "graph": describe_graph(exported.graph),
        "signature": {
            "inputs": describe_signature(signature.input_specs),
            "outputs": describe_signature(signature.output_specs),
        },
        "ranges": [
            [describe_expression(size), describe_range(each)] for size, each in exported.range_constraints.items()
        ],
        "calls": [describe_call(call) for call in exported.module_call_graph],
        "dialects": [verifier.dialect for verifier in exported.verifiers],
        "weights": weights,
        "constants": list(exported.constants),
    }
    (folder / PROGRAM_NAME).write_text(json.dumps(document), encoding="utf-8")


def load_program(folder: Path) -> Program:
    """The program that `save_program` has written.

    Raises:
        DamagedEntry: it has what this version of torch lacks.
        OSError: a file cannot be read.
    """
    document = json.loads((folder / PROGRAM_NAME).read_text(encoding="utf-8"))
    weights = read_weights(folder / WEIGHTS_NAME, document["weights"])
    constants: dict[str, Any] = {name: weights.pop(name) for name in document["constants"]}
    exported = ExportedProgram(
        root=torch.nn.Module(),
        graph=graph_of(document["graph"]),
        graph_signature=ExportGraphSignature(
            inputs_of(document["signature"]["inputs"]), outputs_of(document["signature"]["outputs"])
        ),
        state_dict=weights,
        range_constraints={expression_of(key): range_of(each) for key, each in document["ranges"]},
        module_call_graph=[call_of(call) for call in document["calls"]],
        example_inputs=None,
        constants=constants,
        verifiers=[load_verifier(dialect) for dialect in document["dialects"]],
    )
    return Program(
        document["name"],
        exported,
        inputs=SPECS.validate_python(document["inputs"]),
        outputs=SPECS.validate_python(document["outputs"]),
        noise=SPECS.validate_python(document["noise"]),
        sizes=document["sizes"],
        plan=PrecisionPlan.model_validate(document["plan"]),
        history=HISTORY.validate_python(document["history"]),
    )


def describe_call(call: ModuleCallEntry) -> dict[str, Any]:
    """How a module of the network is called: torch.export knows it of the network itself."""
    signature = call.signature
    if signature is None:
        return {"module": call.fqn}
    if any(not isinstance(each, TensorArgument) for each in (*signature.inputs, *signature.outputs)):
        raise UnsuitableEntry(f"the module {call.fqn!r} takes or gives what is no tensor")
    return {
        "module": call.fqn,
        "inputs": [each.name for each in signature.inputs],
        "outputs": [each.name for each in signature.outputs],
        "in_spec": pytree.treespec_dumps(signature.in_spec),
        "out_spec": pytree.treespec_dumps(signature.out_spec),
        "names": signature.forward_arg_names,
    }


def call_of(description: dict[str, Any]) -> ModuleCallEntry:
    """What `describe_call` has described."""
    if "inputs" not in description:
        return ModuleCallEntry(description["module"])
    inputs, outputs = (arguments_of(description[key]) for key in ("inputs", "outputs"))
    in_spec, out_spec = (pytree.treespec_loads(description[key]) for key in ("in_spec", "out_spec"))
    signature = ModuleCallSignature(inputs, outputs, in_spec, out_spec, description["names"])
    return ModuleCallEntry(description["module"], signature)


def arguments_of(names: list[str]) -> list[Any]:
    return [TensorArgument(name=name) for name in names]
