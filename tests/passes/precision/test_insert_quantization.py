from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from tests.passes.harness import calls, component_of, tensors_for
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import PassError, UnsupportedError
from voxc.compiler.core.nodes import module_path
from voxc.compiler.core.plan import Precision, PrecisionPlan, Range
from voxc.compiler.core.program import Program, export
from voxc.compiler.core.target import Scheme, Target
from voxc.passes.base import PassResult
from voxc.passes.precision.insert_quantization import InsertQuantization
from voxc.passes.precision.integer_steps import Steps
from voxc.passes.precision.rules import candidates, complete
from voxc.passes.simplify.clean_up import CleanUp

aten = torch.ops.aten
voxc = torch.ops.voxc


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up = nn.ConvTranspose1d(4, 6, 4, stride=2, padding=1, groups=2)
        self.side = nn.Conv1d(4, 6, 1, bias=False)
        self.first = nn.Conv1d(6, 6, 3, padding=1)
        self.second = nn.Conv1d(6, 6, 3)
        self.post = nn.Conv1d(6, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x) + self.side(x.repeat_interleave(2, -1))
        x = x + self.second(F.pad(F.leaky_relu(self.first(F.leaky_relu(x, 0.1)), 0.1), (1, 1)))
        return torch.tanh(self.post(F.leaky_relu(F.relu(self.first(x / 3)))))


class One(nn.Module):
    """One layer, and a name for its input that torch.export leaves alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(2, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Linears(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.into = nn.Linear(4, 8)
        self.halves = nn.Conv1d(4, 2, 1)
        self.table = nn.Parameter(torch.randn(1, 4, 3))

    def forward(self, x: Tensor) -> Tensor:
        first, second = torch.split(F.relu(self.into(x)), [4, 4], -1)
        return torch.cat([self.halves(first.transpose(1, 2)).transpose(1, 2), torch.bmm(second, self.table)], -1)


def ranges_of(program: Program, component: Component) -> dict[str, Range]:
    """The least and the greatest value of every float tensor."""
    found = {}

    class Watch(fx.Interpreter):
        def run_node(self, n: fx.Node) -> object:
            value = super().run_node(n)
            if isinstance(value, Tensor) and value.is_floating_point():
                found[n.name] = (value.min().item(), value.max().item())
            return value

    tensors = iter(tensors_for(component).values())
    weights = [program.weight(node) for node in program.graph.nodes if node.op == "placeholder"]
    with torch.inference_mode():
        Watch(program.exported.graph_module).run(*[next(tensors) if each is None else each for each in weights])
    return found


def planned(component: Component, target: Target, precision: Precision = "int8") -> Program:
    """A program whose candidates are all in one precision, with ranges."""
    program = CleanUp()(export(component, {"T": 12}, dynamic=False), target).program
    names = candidates(program)
    nodes = complete(program, names) if precision == "int8" else dict.fromkeys(names, precision)
    return replace(program, plan=PrecisionPlan(nodes=nodes, ranges=ranges_of(program, component)))


def quantize(component: Component, target: Target, precision: Precision = "int8") -> PassResult:
    program = planned(component, target, precision)
    result = InsertQuantization()(program, target)
    assert result.modified
    assert not InsertQuantization()(result.program, target).modified, "a second run must find nothing to do"
    return result


def snr(component: Component, program: Program) -> float:
    tensors = tensors_for(component)
    expected, found = component.run(tensors)["y"], program.run(tensors)["y"]
    return float(10 * torch.log10(expected.square().sum() / (expected - found).square().sum()))


RESIDUAL = component_of(Residual(), (1, 4, 12))
LINEARS = component_of(Linears(), (1, 12, 4))
SCHEMES = [Scheme(activations=kind, symmetric=symmetric) for kind in ("int8", "uint8") for symmetric in (False, True)]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize("component", [RESIDUAL, LINEARS], ids=["residual", "linears"])
def test_integers_stay_close_to_floats(target: Target, component: Component, scheme: Scheme) -> None:
    program = quantize(component, target.model_copy(update={"scheme": scheme})).program
    assert 28 < snr(component, program) < 60
    for node in program.graph.nodes:
        if node.target is voxc.quantize.default:
            _, _, zero_point, dtype = node.args
            assert dtype is getattr(torch, scheme.activations)
            assert not scheme.symmetric or zero_point == (128 if dtype is torch.uint8 else 0)


def test_integer_nodes_take_and_give_integers(target: Target) -> None:
    program = quantize(RESIDUAL, target).program
    layers = [node for node in program.graph.nodes if node.target is aten.convolution.default]
    assert len(layers) == 6
    for node in layers[:-1]:
        activation, weight, bias, *_ = node.args
        assert activation.target is voxc.dequantize.default
        assert weight.target is voxc.dequantize_channels.default
        assert weight.args[0].meta["val"].dtype is torch.int8
        assert (bias is None) == (module_path(node) == "side")
        if bias is not None:
            assert bias.args[0].meta["val"].dtype is torch.int32
        assert [user.target for user in node.users] == [voxc.quantize.default]
    assert layers[-1].args[0].target is aten.leaky_relu.default, "the last one stays float32"


def test_a_tensor_is_quantized_once_for_all_who_need_it(target: Target) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv1d(4, 2, 1), nn.Conv1d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.left(x)) + torch.tanh(self.right(x)) * x[:, :2]

    program = quantize(component_of(Shared(), (1, 4, 12)), target).program
    (placeholder,) = [node for node in program.graph.nodes if node.op == "placeholder" and not program.weight_key(node)]
    quantizing = [user for user in placeholder.users if user.target is voxc.quantize.default]
    assert len(quantizing) == 1
    assert any(user.target is aten.slice.Tensor for user in placeholder.users), "floats keep the float"


def test_moves_keep_the_scale_and_factors_change_it(target: Target) -> None:
    program = quantize(RESIDUAL, target).program
    assert calls(program, aten.div.Tensor) == 0
    (pad,) = [node for node in program.graph.nodes if node.target is aten.constant_pad_nd.default]
    (quantized,) = pad.users
    assert quantized.args[1:3] == pad.args[0].args[1:3]
    (quantized,) = next(node for node in reversed(program.graph.nodes) if node.target is aten.add.Tensor).users
    (scaled,) = quantized.users
    assert math.isclose(quantized.args[1] / scaled.args[1], 3, rel_tol=1e-6)


def test_what_a_split_gives_keeps_the_scale(target: Target) -> None:
    program = quantize(LINEARS, target).program
    assert calls(program, aten.relu.default) == 0, "integers end at zero there"
    (matrix,) = [node for node in program.graph.nodes if node.target is aten.addmm.default]
    (quantized,) = matrix.users
    used = [node.args[0] for node in program.graph.nodes if node.target is aten.convolution.default]
    assert {node.args[1:] for node in used} == {quantized.args[1:3]}


@pytest.mark.parametrize(("precision", "least"), [("w8", 40.0), ("fp16", 60.0)])
def test_weights_alone(target: Target, precision: Precision, least: float) -> None:
    program = quantize(RESIDUAL, target, precision).program
    assert calls(program, voxc.quantize.default) == 0
    assert snr(RESIDUAL, program) > least
    stored = torch.int8 if precision == "w8" else torch.float16
    weights = [program.weight(node) for node in program.graph.nodes if node.op == "placeholder"]
    assert sum(weight is not None and weight.dtype is stored for weight in weights) == 4, "one layer is used twice"


def test_nothing_else_moves(target: Target) -> None:
    program = replace(planned(RESIDUAL, target), plan=PrecisionPlan())
    result = InsertQuantization()(program, target)
    assert result.program.exported is program.exported
    assert not result.modified


def test_a_missing_range_is_an_error_that_tells_what_to_do(target: Target) -> None:
    program = planned(RESIDUAL, target)
    (first, *_) = [node for node in program.graph.nodes if module_path(node) == "first"]
    ranges = {name: each for name, each in program.plan.ranges.items() if name != first.name}
    program = replace(program, plan=program.plan.model_copy(update={"ranges": ranges}))
    with pytest.raises(PassError, match=f"{first.name} in first has no range.*voxc calibrate"):
        InsertQuantization()(program, target)


def test_ranges_of_nothing_work(target: Target) -> None:
    program = planned(RESIDUAL, target)
    zero = dict.fromkeys(program.plan.ranges, (0.0, 0.0))
    program = replace(program, plan=program.plan.model_copy(update={"ranges": zero}))
    result = InsertQuantization()(program, target).program.run(tensors_for(RESIDUAL))
    assert bool(result["y"].isfinite().all())


def test_weights_of_zero_keep_their_bias(target: Target) -> None:
    one = One()
    nn.init.zeros_(one.conv.weight)
    with torch.no_grad():
        one.conv.bias.copy_(torch.tensor([0.3, -1000.0, 0.0]))
    component = component_of(one, (1, 2, 12))
    assert snr(component, quantize(component, target).program) > 40


def test_int4_is_refused(target: Target) -> None:
    with pytest.raises(UnsupportedError, match="int4"):
        InsertQuantization()(planned(RESIDUAL, target, "int4"), target)


def test_a_target_without_integer_kernels_is_refused(target: Target) -> None:
    with pytest.raises(PassError, match="no integer kernels"):
        InsertQuantization()(planned(RESIDUAL, target), target.model_copy(update={"scheme": None}))


def test_what_is_promised_is_checked(target: Target) -> None:
    program = planned(RESIDUAL, target)
    with pytest.raises(PassError, match="should be int8"):
        InsertQuantization().ensures(program, program, target)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize("bounds", [(-1.0, 3.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 0.0)])
def test_steps_reach_both_bounds_and_zero(bounds: Range, scheme: Scheme) -> None:
    steps = Steps.covering(bounds, scheme)
    for value in (*bounds, 0.0):
        stored = voxc.quantize(torch.tensor([value]), steps.scale, steps.zero_point, steps.dtype)
        back = voxc.dequantize(stored, steps.scale, steps.zero_point).item()
        assert abs(back - value) <= steps.scale * (0.5001 if value else 0)


def test_a_program_of_one_layer(target: Target) -> None:
    component = component_of(One(), (1, 2, 12))
    result = quantize(component, target)
    (output,) = result.program.results
    assert output.target is voxc.dequantize.default


def test_float16_arithmetic_needs_no_nodes_for_it(target: Target) -> None:
    """Nor do weights that the backend itself scales in groups."""
    update = {"arithmetic": "float16", "precisions": ("fp16", "w8", "int4"), "weights": "grouped"}
    halves = target.model_copy(update=update)
    for policy in ("fp16", "w8", "int4"):
        assert not InsertQuantization()(planned(RESIDUAL, halves, policy), halves).modified
    channels = halves.model_copy(update={"weights": "channels"})
    assert InsertQuantization()(planned(RESIDUAL, channels, "w8"), channels).modified


def test_where_layers_give_floats_only_what_they_take_is_rounded(target: Target) -> None:
    """Once for each tensor that layers take, and nothing behind one that only floats go on with."""
    scheme = Scheme(activations="int8", symmetric=True)
    program = planned(RESIDUAL, target)
    nodes = {node.name: node for node in program.graph.nodes}
    layers = {name: "int8" for name in program.plan.nodes if nodes[name].target is aten.convolution.default}
    program = replace(program, plan=program.plan.model_copy(update={"nodes": layers}))
    found = {}
    for outputs in ("integers", "floats"):
        target = target.model_copy(update={"scheme": scheme.model_copy(update={"outputs": outputs})})
        found[outputs] = InsertQuantization()(program, target).program
        assert not InsertQuantization()(found[outputs], target).modified, "a second run must find nothing to do"
    written = found["floats"]
    rounded = {node.args[0] for node in written.graph.nodes if node.target is voxc.quantize.default}
    integers = [node for node in written.graph.nodes if node.name in layers]
    assert rounded == {node.args[0].args[0].args[0] for node in integers}
    assert any(not user.target.name().startswith("voxc") for node in integers for user in node.users)
    assert calls(written, voxc.quantize.default) < calls(found["integers"], voxc.quantize.default)
    assert snr(RESIDUAL, written) > 28


def test_a_layer_that_is_given_floats_is_found(target: Target) -> None:
    scheme = Scheme(activations="int8", symmetric=True, outputs="floats")
    one = component_of(One(), (1, 2, 12))
    program = quantize(one, target.model_copy(update={"scheme": scheme})).program
    (layer,) = [node for node in program.graph.nodes if node.target is aten.convolution.default]
    layer.replace_input_with(layer.args[0], layer.args[0].args[0].args[0])
    with pytest.raises(PassError, match="should be int8"):
        InsertQuantization().ensures(program, program, target)
