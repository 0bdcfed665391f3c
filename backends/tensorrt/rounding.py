"""What float16 will cost an engine, as far as that can be known without one.

A kit's ONNX file is float32 throughout, and so says nothing of float16. Here a copy of it is run in which all that
layers in float16 take and give is rounded to float16; sums in them are float32:

    x -> Conv -> y          x -> Cast -> Cast -> Conv -> Cast -> Cast -> y
          ^ w                      w -> Cast -> Cast -^

What the builder may compute in int8 by scales beside the file is in int8 (integers.py).

What is beyond 65504 becomes infinite, as on the device. Inside of what TensorRT fuses it rounds less often, and GPUs
before Volta sum in float16 as well: an estimate, not a bound.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.backends.tensorrt.calibration_cache import cache_file, read_cache
from voxc.backends.tensorrt.integers import with_integers
from voxc.backends.tensorrt.legality import Reading
from voxc.backends.tensorrt.precisions import Precisions
from voxc.compiler.core.runner import Runner

HOW = "what float16 layers take and give rounded to float16, sums in float32"
IMPLICIT_HOW = f"{HOW}; int8 wherever TensorRT may choose it"


def rounding_runner(file: Path, recipe: Precisions, threads: int) -> Runner:
    """A component by its ONNX file, all weights in reach, rounded as its recipe says.

    Raises:
        BundleError: the recipe leaves int8 open, and the scales for it are missing or broken.
    """
    model = onnx.load(file)
    if recipe.implicit:
        model = with_integers(model, recipe, read_cache(cache_file(file)).scales)
    model = rounded(model, recipe)
    with tempfile.TemporaryDirectory(prefix="voxc-") as directory:
        place = Path(directory) / file.name
        onnx.save_model(model, place, save_as_external_data=True, location="weights")
        return OnnxRuntimeRunner(place, threads, optimized=False)  # which would take the casts for superfluous


def rounded(model: ModelProto, recipe: Precisions) -> ModelProto:
    """The model, changed: what its float16 layers take and give is rounded to float16."""
    reading = Reading(model)
    floats = {name for name, kind in reading.kinds.items() if kind == TensorProto.FLOAT}
    half = {node.name for node in model.graph.node if recipe.layers.get(node.name) == "fp16"}
    done = {name for node in model.graph.node if node.name in half for name in node.output}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.name not in half:
            nodes.append(node)
            continue
        for place, name in enumerate(node.input):
            if name in floats and name not in done:
                nodes += casts(name, f"{name}:half") if f"{name}:half" not in floats else ()
                floats.add(f"{name}:half")
                node.input[place] = f"{name}:half"
        after = [cast for name in node.output if name in floats for cast in casts(f"{name}:exact", name)]
        node.output[:] = [f"{name}:exact" if name in floats else name for name in node.output]
        nodes += [node, *after]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def casts(source: str, result: str) -> Iterator[NodeProto]:
    """A tensor to float16 and back."""
    between = f"{result}:16"
    yield helper.make_node("Cast", [source], [between], name=between, to=TensorProto.FLOAT16)
    yield helper.make_node("Cast", [between], [result], name=f"{between}:up", to=TensorProto.FLOAT)
