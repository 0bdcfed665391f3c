"""The precision plan becomes part of the graph.

    before:  y = convolution(x, weight, bias)                                                  plan: int8
    after:   y = dequantize(quantize(convolution(
                 dequantize(quantize(x)), dequantize_channels(weight_int8), dequantize_channels(bias_int32))))

    before:  y = convolution(x, weight, bias)                                                  plan: fp16
    after:   y = convolution(x, _to_copy(weight_float16, float32), bias)                       float32 arithmetic

Nothing is written where the plan is implicit: then integers are the runtime's to choose, by the plan's ranges.

Where the target's kernels give floats, so do layers: a second rounding of what others round again only adds noise.

Backends that read such pairs find an integer kernel wherever all that a node takes and gives is an integer. What only
moves integers about gives integers with the same scale, and what multiplies them by a number only changes the scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, fx

from voxc.compiler.core.errors import PassError, UnsupportedError
from voxc.compiler.core.nodes import call_arguments, is_float, module_path
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.passes.kit.graph_editor import GraphEditor
from voxc.passes.kit.rewrite import Rewrite
from voxc.passes.precision.integer_steps import BIAS_LIMIT, WEIGHT_LIMIT, Steps, along, single, weight_scales
from voxc.passes.precision.quantizable import Operands, aten, factor, moves, operands, origins, uses, voxc


@dataclass(frozen=True)
class InsertQuantization(Rewrite):
    """Quantizes weights, and activations by the ranges that calibration put into the plan.

    Quantization moves the outputs by what the plan's integers cannot express. How far is measured at the end; the bound
    here is what coarse integers reach and wrong ones, of another scale or in another place, do not.
    """

    after: ClassVar[tuple[str, ...]] = ("annotate_precision", "clean_up")
    least_snr: ClassVar[float] = 3.0

    def edit(self, editor: GraphEditor, target: Target) -> Iterator[str]:
        program = editor.program
        quantizer = Quantizer(editor, program, target)
        for node in [node for node in editor.graph.nodes if node.op == "call_function"]:
            precision = program.plan.precision(node.name)
            if precision == "int4" and precision not in target.precisions:
                raise UnsupportedError(f"{target.name}: {node.name} in {module_path(node)}: int4 weights; use w8")
            if program.plan.is_written(node.name):
                quantizer.quantize(node)
            elif precision in written(target):
                quantizer.store_weight(node, precision)
        return iter(())  # the plan has the notes

    def ensures(self, before: Program, after: Program, target: Target) -> None:
        for node in after.graph.nodes:
            if not after.plan.is_written(node.name):
                continue
            floats = [source for source in node.all_input_nodes if is_float(source) and not is_dequantized(source)]
            if floats or not is_written(node):
                raise PassError(f"{after.name}: {node.name} should be int8 and takes or gives floats")


def written(target: Target) -> frozenset[str]:
    """The precisions that the graph spells out as weights of another type: the others are for the backend to lower."""
    channels = {"w8"} if target.weights == "channels" else set[str]()
    return frozenset(channels | ({"fp16"} if target.arithmetic == "float32" else set()))


class Quantizer:
    """The rewriting of one graph. `shared` has the dequantized form of float tensors that integer nodes use."""

    def __init__(self, editor: GraphEditor, program: Program, target: Target) -> None:
        self.editor = editor
        self.program = program
        self.target = target
        self.shared: dict[fx.Node, fx.Node] = {}
        self.weights: dict[tuple[object, ...], fx.Node] = {}

    def quantize(self, node: fx.Node) -> None:
        if is_written(node):
            return  # by an earlier run
        number = factor(node)
        if number is not None:
            self.rescale(node, number)
            return
        layer = self.layer(node)
        if layer is not None:
            self.quantize_layer(node, layer)
            if self.target.scheme is not None and self.target.scheme.outputs == "floats":
                return  # who takes integers of it rounds them
        else:
            for source in filter(is_float, node.all_input_nodes):
                node.replace_input_with(source, self.as_integers(source))
        if node.target is aten.relu.default and steps_of(node.all_input_nodes[0]).is_positive:
            self.editor.replace(node, node.all_input_nodes[0])  # there are no integers below zero
        else:
            self.through_integers(node, self.steps(self.range_source(node)))

    @property
    def pair_limit(self) -> int | None:
        return None if self.target.scheme is None else self.target.scheme.pair_limit

    def layer(self, node: fx.Node) -> Operands | None:
        return operands(self.editor, node)

    def quantize_layer(self, node: fx.Node, layer: Operands) -> None:
        """Activation, weight and bias as integers; the bias in steps of the products that it is added to."""
        arguments = call_arguments(node)
        activation, weight = self.as_integers(arguments[layer.activation]), arguments[layer.weight]
        kernel, bias = self.editor.weight(weight), self.constant_bias(arguments, layer)
        assert kernel is not None
        step = steps_of(activation).scale
        scales = weight_scales(kernel, layer.axis, layer.inputs, self.editor.weight(bias), step, self.pair_limit)
        node.replace_input_with(arguments[layer.activation], activation)
        self.exchange(node, weight, scales, layer.axis, torch.int8)
        if bias is not None:
            groups = bias.meta["val"].numel() // len(scales)
            self.exchange(node, bias, (scales * step).repeat(groups), 0, torch.int32)

    def constant_bias(self, arguments: list[Any], layer: Operands) -> fx.Node | None:
        bias = None if layer.bias is None else arguments[layer.bias]
        tensor = self.editor.weight(bias)
        return bias if tensor is not None and tensor.dim() == 1 else None

    def store_weight(self, node: fx.Node, precision: str) -> None:
        """The weight alone in fewer bits; the arithmetic stays float32."""
        layer = self.layer(node)
        if layer is None:
            return  # done by an earlier run
        arguments = call_arguments(node)
        weight = self.editor.weight(arguments[layer.weight])
        assert weight is not None
        if precision == "w8":
            scales = weight_scales(weight, layer.axis, layer.inputs)
            self.exchange(node, arguments[layer.weight], scales, layer.axis, torch.int8)
        else:
            self.halve(node, arguments[layer.weight], weight)

    def halve(self, node: fx.Node, weight: fx.Node, tensor: Tensor) -> None:
        """Stores a node's weight in float16."""

        def make() -> fx.Node:
            stored = self.editor.add_weight(f"{self.editor.weight_key(weight)}_float16", tensor.to(torch.float16))
            return self.editor.call(aten._to_copy.default, stored, dtype=torch.float32)

        node.replace_input_with(weight, self.once((weight, torch.float16), node, make))
        self.editor.modified = True

    def exchange(self, node: fx.Node, weight: fx.Node, scales: Tensor, axis: int, dtype: torch.dtype) -> None:
        """Stores a node's weight or bias in integers, with a scale for each index of `axis`."""

        def make() -> fx.Node:
            tensor, key = self.editor.weight(weight), self.editor.weight_key(weight)
            assert tensor is not None
            limit = WEIGHT_LIMIT if dtype is torch.int8 else BIAS_LIMIT
            steps = torch.round(tensor.detach().double() / along(scales.double(), axis, tensor.dim()))
            name = f"{key}_{str(dtype).removeprefix('torch.')}"
            stored = self.editor.add_weight(name, steps.clamp(-limit, limit).to(dtype))
            scale = self.editor.add_weight(f"{key}_scale", scales)
            return self.editor.call(voxc.dequantize_channels.default, stored, scale, axis)

        node.replace_input_with(weight, self.once((weight, axis, scales.numpy().tobytes()), node, make))
        self.editor.modified = True

    def once(self, key: tuple[object, ...], node: fx.Node, make: Callable[[], fx.Node]) -> fx.Node:
        """What `make` gives for a key; it stands in front of the first node that wants it, and others share it."""
        if key not in self.weights:
            with self.editor.before(node):
                self.weights[key] = make()
        return self.weights[key]

    def as_integers(self, source: fx.Node) -> fx.Node:
        """A float tensor in integers and back. What moves integers about goes on with theirs."""
        if is_dequantized(source):
            return source
        moved = [self.as_integers(each) for each in origins(source)] if self.moves_integers(source) else []
        if moved and len({steps_of(each) for each in moved}) == 1:
            return self.through_integers(source, steps_of(moved[0]))
        if source not in self.shared:
            with self.editor.before(self.place_after(source)):
                self.shared[source] = self.pair(source, self.steps(source))
        return self.shared[source]

    def moves_integers(self, node: fx.Node) -> bool:
        return is_dequantized(node) or (moves(node) and all(map(self.moves_integers, origins(node))))

    def place_after(self, node: fx.Node) -> fx.Node:
        """The first place behind a node where a call may stand."""
        while node.op == "placeholder":
            node = node.next
            if node.op != "placeholder":
                return node
        return node.next

    def through_integers(self, node: fx.Node, steps: Steps) -> fx.Node:
        """Makes everyone see a node's output in integers and back."""
        with self.editor.before(self.place_after(node)):
            dequantized = self.pair(node, steps)
        (quantized,) = dequantized.all_input_nodes
        node.replace_all_uses_with(dequantized, delete_user_cb=lambda user: user is not quantized)
        self.editor.modified = True
        return dequantized

    def rescale(self, node: fx.Node, number: float) -> None:
        source = self.as_integers(node.all_input_nodes[0])
        steps = steps_of(source)
        with self.editor.before(node):
            scaled = self.editor.call(
                voxc.dequantize.default, source.args[0], single(steps.scale * number), steps.zero_point
            )
        self.editor.replace(node, scaled)

    def pair(self, node: fx.Node, steps: Steps) -> fx.Node:
        quantized = self.editor.call(voxc.quantize.default, node, steps.scale, steps.zero_point, steps.dtype)
        return self.editor.call(voxc.dequantize.default, quantized, steps.scale, steps.zero_point)

    def range_source(self, node: fx.Node) -> fx.Node:
        """The tensor whose range counts: that of a ReLU where nothing else sees what it is given."""
        seen = list(uses(node))
        fused = len(seen) == 1 and seen[0].target is aten.relu.default
        return seen[0] if fused and self.program.plan.precision(seen[0].name) == "int8" else node

    def steps(self, node: fx.Node) -> Steps:
        scheme = self.target.scheme
        if scheme is None:
            raise PassError(f"target {self.target.name} has no integer kernels; choose another precision than int8")
        ranges, source = self.program.plan.ranges, node
        while source.name not in ranges and moves(source) and len(source.all_input_nodes) == 1:
            source = source.all_input_nodes[0]
        if source.name not in ranges:
            path = f" in {module_path(node)}" if module_path(node) else ""
            raise PassError(
                f"{self.program.name}: {node.name}{path} has no range, so it cannot be int8; calibrate the voice "
                f"(`voxc calibrate`), with a plan that has the same nodes"
            )
        return Steps.covering(ranges[source.name], scheme)


def is_written(node: fx.Node) -> bool:
    """Whether what a node computes with is in integers, which of layers their weights say, and of others what they
    give."""
    weights = [each.target is voxc.dequantize_channels.default for each in node.all_input_nodes]
    return any(weights) or [user.target for user in node.users] == [voxc.quantize.default]


def is_dequantized(node: fx.Node) -> bool:
    return node.target in (voxc.dequantize.default, voxc.dequantize_channels.default)


def steps_of(dequantized: fx.Node) -> Steps:
    quantized, scale, zero_point = dequantized.args
    assert isinstance(quantized, fx.Node)
    assert isinstance(scale, float)
    assert isinstance(zero_point, int)
    return Steps(scale, zero_point, quantized.meta["val"].dtype)
