"""Small ONNX models, and what ONNX Runtime makes of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper

from voxc.compiler.families.generic.network import Network
from voxc.compiler.families.generic.onnx import read_onnx

Array = np.ndarray
#: The format of files that came with an opset, which the runtime wants.
IR_VERSION = 8


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


def model_of(
    nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, Array], outputs: Sequence[str],
    constants: Mapping[str, Array] | None = None, opset: int = 18, **options: Any,
) -> onnx.ModelProto:  # fmt: skip
    """A model whose outputs have the type that shape inference finds."""
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(each.dtype), each.shape)
        for name, each in inputs.items()
    ]
    weights = [numpy_helper.from_array(each, name) for name, each in (constants or {}).items()]
    graph = helper.make_graph(
        list(nodes), "graph", infos, [onnx.ValueInfoProto(name=name) for name in outputs], weights
    )
    opsets = [helper.make_opsetid("", opset), *options.pop("opsets", [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION if opset < 21 else 10, **options)
    return onnx.shape_inference.infer_shapes(model)


def by_runtime(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(inputs)))


def by_network(network: Network, inputs: Mapping[str, Array]) -> list[Array]:
    """What the exported module gives, which is what backends get."""
    tensors = tuple(torch.from_numpy(np.array(inputs[spec.name])) for spec in network.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.export's own use of its pytree
        exported = torch.export.export(network.module, tensors, strict=False).run_decompositions()
    with torch.no_grad():
        result = exported.module()(*tensors)
    return [each.numpy() for each in (result if isinstance(result, tuple) else (result,))]


def check_model(
    model: onnx.ModelProto, inputs: Mapping[str, Array], directory: Path, tolerance: float = 2e-5, **sizes: int
) -> Network:
    """Reads the model and compares what it computes with ONNX Runtime."""
    path = directory / "model.onnx"
    onnx.save(model, path)
    network = read_onnx(path, sizes)
    expected, results = by_runtime(model, inputs), by_network(network, inputs)
    for spec, result, reference in zip(network.outputs, results, expected, strict=True):
        assert spec.shape == result.shape == reference.shape
        assert spec.dtype == str(result.dtype)
        np.testing.assert_allclose(result, reference, rtol=tolerance, atol=tolerance)
    return network


def check_node(
    directory: Path, op_type: str, inputs: Sequence[Array | None], constants: Mapping[int, Array] | None = None,
    opset: int = 18, outputs: int = 1, **attributes: Any,
) -> Network:  # fmt: skip
    """One node: its inputs by place, those that are constants by index, None for one left out."""
    constants = constants or {}
    count = max([len(inputs), *(place + 1 for place in constants)])
    given = {f"x{place}": each for place, each in enumerate(inputs) if each is not None and place not in constants}
    fixed = {f"c{place}": each for place, each in constants.items()}
    names = [
        f"c{place}" if place in constants else f"x{place}" if f"x{place}" in given else "" for place in range(count)
    ]
    results = [f"y{place}" for place in range(outputs)]
    node = helper.make_node(op_type, names, results, name="the/node", **attributes)
    return check_model(model_of([node], given, results, fixed, opset), given, directory)
