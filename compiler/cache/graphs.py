"""An exported graph as JSON: nodes with their names, arguments, fake values and origins, and the signature.

torch.export's own files are not used. They lose names, order and module paths of nodes, so that artifacts would differ;
they take longer; and they hold pickles.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx
from torch._guards import detect_fake_mode
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.export.graph_signature import InputKind, InputSpec, OutputKind, OutputSpec, TensorArgument

from voxc.compiler.cache.entry import DamagedEntry, UnsuitableEntry
from voxc.compiler.cache.sizes import Sizes, describe_size, describe_symbols

#: Where functions come from that are no operators of torch: arithmetic on sizes.
FUNCTIONS = {"operator": operator, "math": math, "torch": torch}
TORCH_TYPES = (torch.dtype, torch.layout, torch.memory_format)
#: What is kept of a node's metadata beside its fake value; passes copy it, backends and errors name it.
ORIGIN = ("stack_trace", "nn_module_stack", "torch_fn")


def fake_mode_of(graph: fx.Graph) -> FakeTensorMode:
    mode = detect_fake_mode([node.meta["val"] for node in graph.nodes if node.op == "placeholder"])
    if mode is None:
        raise UnsuitableEntry("a graph without inputs and weights")
    return mode


def describe_graph(graph: fx.Graph) -> dict[str, Any]:
    """A graph as JSON. Origins, which many nodes share, stand once.

    Raises:
        UnsuitableEntry: it has a node, an argument or a value that cannot be described.
    """
    origins: dict[str, int] = {}
    texts: list[dict[str, Any]] = []
    nodes = []
    for node in graph.nodes:
        origin = {key: describe(node.meta[key]) for key in ORIGIN if key in node.meta}
        number = origins.setdefault(repr(origin), len(origins))
        if number == len(texts):
            texts.append(origin)
        nodes.append(describe_node(node) | {"origin": number})
    return {"symbols": describe_symbols(fake_mode_of(graph)), "origins": texts, "nodes": nodes}


def describe_node(node: fx.Node) -> dict[str, Any]:
    if node.op not in ("placeholder", "call_function", "output"):
        raise UnsuitableEntry(f"{node.name} is a {node.op}")
    described = {
        "name": node.name,
        "op": node.op,
        "target": node.target if isinstance(node.target, str) else describe_function(node.target),
        "args": describe(node.args),
        "kwargs": describe(node.kwargs),
    }
    return described | ({"val": describe_value(node.meta["val"])} if "val" in node.meta else {})


def describe_function(function: object) -> list[str]:
    """An operator of torch by namespace, name and overload; another function by module and name."""
    if isinstance(function, torch._ops.OpOverload):
        namespace, _, name = function._schema.name.partition("::")
        return [namespace, name, function._overloadname]
    name = getattr(function, "__name__", "")
    module = next((key for key, module in FUNCTIONS.items() if getattr(module, name, None) is function), None)
    if module is None:
        raise UnsuitableEntry(f"{function} is no operator of torch")
    return [module, name]


def function_of(description: list[str]) -> Callable[..., Any]:
    try:
        if len(description) == 2:
            module, name = description
            return getattr(FUNCTIONS[module], name)
        namespace, name, overload = description
        return getattr(getattr(getattr(torch.ops, namespace), name), overload)
    except (AttributeError, KeyError) as error:
        raise DamagedEntry(f"this torch has no {'.'.join(description)}") from error


def describe(argument: object) -> Any:
    """An argument of a node, or its metadata: whatever is not a list or a scalar carries its type."""
    match argument:
        case None | bool() | int() | float() | str():
            return argument
        case fx.Node():
            return {"node": argument.name}
        case list():
            return [describe(each) for each in argument]
        case tuple():
            return {"tuple": [describe(each) for each in argument]}
        case slice():
            return {"slice": [describe(each) for each in (argument.start, argument.stop, argument.step)]}
        case Mapping():
            return {"dict": [[describe(key), describe(value)] for key, value in argument.items()]}
        case torch.device():
            return {"device": str(argument)}
    if isinstance(argument, TORCH_TYPES):
        return {"torch": str(argument).removeprefix("torch.")}
    raise UnsuitableEntry(f"an argument of the type {type(argument).__name__}")


def argument_of(description: Any, nodes: Mapping[str, fx.Node]) -> Any:
    """What `describe` has described."""
    if isinstance(description, list):
        return [argument_of(each, nodes) for each in description]
    if not isinstance(description, dict):
        return description
    ((kind, content),) = description.items()
    match kind:
        case "node":
            return nodes[content]
        case "tuple":
            return tuple(argument_of(each, nodes) for each in content)
        case "slice":
            return slice(*(argument_of(each, nodes) for each in content))
        case "dict":
            return {argument_of(key, nodes): argument_of(value, nodes) for key, value in content}
        case "device":
            return torch.device(content)
        case "torch":
            return getattr(torch, content)
    raise DamagedEntry(f"an argument of the type {kind}")


def describe_value(value: object) -> Any:
    """A node's fake value: a tensor by dtype, sizes, strides and device."""
    if isinstance(value, Tensor):
        if value.layout is not torch.strided or value.is_quantized:
            raise UnsuitableEntry(f"a tensor of the layout {value.layout}")
        sizes, strides = ([describe_size(size) for size in each] for each in (value.shape, value.stride()))
        dtype = str(value.dtype).removeprefix("torch.")
        return {"tensor": [dtype, sizes, strides, str(value.device), value.requires_grad]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [describe_value(each) for each in value]}
    described = describe_size(value)
    if described is value and not isinstance(value, bool | int | float | str | None):
        raise UnsuitableEntry(f"a value of the type {type(value).__name__}")
    return {"size": described}


def value_of(description: Mapping[str, Any], sizes: Sizes) -> Any:
    """What `describe_value` has described."""
    ((kind, content),) = description.items()
    if kind == "size":
        return sizes.size(content)
    if kind in ("list", "tuple"):
        values = [value_of(each, sizes) for each in content]
        return values if kind == "list" else tuple(values)
    dtype, shape, strides, device, requires_grad = content
    tensor = fake_tensor(getattr(torch, dtype), shape, strides, torch.device(device), sizes)
    return tensor.requires_grad_() if requires_grad else tensor


def fake_tensor(dtype: torch.dtype, shape: list[Any], strides: list[Any], device: torch.device, sizes: Sizes) -> Tensor:
    if all(isinstance(each, int) for each in (*shape, *strides)):  # as the mode makes it, in a third of the time
        return FakeTensor(sizes.mode, torch.empty_strided(shape, strides, dtype=dtype, device="meta"), device)
    shape, strides = ([sizes.size(each) for each in described] for described in (shape, strides))
    with sizes.mode:
        return torch.empty_strided(shape, strides, dtype=dtype, device=device)


def graph_of(description: Mapping[str, Any]) -> fx.Graph:
    """What `describe_graph` has described.

    Raises:
        DamagedEntry: it has what this version of torch lacks.
    """
    sizes = Sizes(description["symbols"])
    origins = [{key: argument_of(each, {}) for key, each in origin.items()} for origin in description["origins"]]
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {}
    for each in description["nodes"]:
        target = each["target"] if isinstance(each["target"], str) else function_of(each["target"])
        args, kwargs = (argument_of(each[key], nodes) for key in ("args", "kwargs"))
        node = graph.create_node(each["op"], target, args, kwargs, name=each["name"])
        if node.name != each["name"]:
            raise DamagedEntry(f"two nodes are called {each['name']}")
        node.meta.update(origins[each["origin"]])
        if "val" in each:
            node.meta["val"] = value_of(each["val"], sizes)
        nodes[node.name] = node
    return graph


def describe_signature(specs: list[InputSpec] | list[OutputSpec]) -> list[Any]:
    """What the inputs or outputs of a graph are: weights, buffers, constants, or the user's."""
    described = []
    for spec in specs:
        if not isinstance(spec.arg, TensorArgument):
            raise UnsuitableEntry(f"an input or output of the type {type(spec.arg).__name__}")
        described.append([spec.kind.name, spec.arg.name, spec.target, getattr(spec, "persistent", None)])
    return described


def inputs_of(description: list[Any]) -> list[InputSpec]:
    return [
        InputSpec(InputKind[kind], TensorArgument(name=name), target, persistent)
        for kind, name, target, persistent in description
    ]


def outputs_of(description: list[Any]) -> list[OutputSpec]:
    return [OutputSpec(OutputKind[kind], TensorArgument(name=name), target) for kind, name, target, _ in description]
