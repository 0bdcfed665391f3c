"""coremltools writes every argument, its defaults too; a file from elsewhere may leave these out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.backends.coreml.interpret.harness import integers, mb, normal, save
from voxc.backends.coreml.interpreter import Interpreter

SIGNAL, IMAGE, POSITIVE = normal(0, 2, 4, 9), normal(1, 1, 4, 6, 8), normal(2, 2, 3, 4, 5).abs()
PLACES = integers(3, 0, 2, 2, 3)
WEIGHT, RAW = normal(4, 4, 4, 3).numpy(), normal(5, 12, 9).numpy()
OF_LSTM = {"weight_ih": normal(6, 12, 9).numpy(), "weight_hh": normal(7, 12, 3).numpy()}
OF_GRU = {"weight_ih": normal(6, 9, 9).numpy(), "weight_hh": normal(7, 9, 3).numpy()}
OF_RNN = {"weight_ih": normal(6, 3, 9).numpy(), "weight_hh": normal(7, 3, 3).numpy()}
START = normal(8, 4, 3)
FOUR = normal(9, 4).abs().numpy()

#: By operation: the tensors, what is built of them, and the arguments that must be there.
CASES: dict[str, tuple[tuple[Tensor, ...], Callable[..., Any]]] = {
    "argsort": ((SIGNAL,), lambda a: mb.argsort(x=a)),
    "avg_pool": ((IMAGE,), lambda a: mb.avg_pool(x=a, kernel_sizes=[2, 3], pad_type="valid")),
    "band_part": ((SIGNAL,), lambda a: mb.band_part(x=a)),
    "batch_norm": ((SIGNAL,), lambda a: mb.batch_norm(x=a, mean=FOUR, variance=FOUR)),
    "concat": ((SIGNAL, SIGNAL), lambda a, b: mb.concat(values=[a, b], axis=1)),
    "conv": ((SIGNAL,), lambda a: mb.conv(x=a, weight=WEIGHT)),
    "conv_transpose": ((SIGNAL,), lambda a: mb.conv_transpose(x=a, weight=WEIGHT)),
    "cumsum": ((SIGNAL,), lambda a: mb.cumsum(x=a)),
    "fill_like": ((SIGNAL,), lambda a: mb.fill_like(ref_tensor=a)),
    "flatten2d": ((POSITIVE,), lambda a: mb.flatten2d(x=a)),
    "gather": ((SIGNAL, PLACES), lambda a, b: mb.gather(x=a, indices=b)),
    "gather_along_axis": ((SIGNAL[0, :, :3].contiguous(), PLACES), lambda a, b: mb.gather_along_axis(x=a, indices=b)),
    "gather_nd": ((SIGNAL, PLACES), lambda a, b: mb.gather_nd(x=a, indices=b)),
    "gelu": ((SIGNAL,), lambda a: mb.gelu(x=a)),
    "gru": ((SIGNAL, START), lambda a, b: mb.gru(x=a, initial_h=b, **OF_GRU)),
    "instance_norm": ((SIGNAL,), lambda a: mb.instance_norm(x=a)),
    "inverse": ((POSITIVE,), lambda a: mb.inverse(x=a)),
    "l2_norm": ((POSITIVE,), lambda a: mb.l2_norm(x=a)),
    "local_response_norm": ((IMAGE,), lambda a: mb.local_response_norm(x=a, size=3)),
    "log": ((POSITIVE,), lambda a: mb.log(x=a)),
    "lstm": ((SIGNAL, START, START), lambda a, b, c: mb.lstm(x=a, initial_h=b, initial_c=c, **OF_LSTM)),
    "matmul": ((SIGNAL, SIGNAL.mT.contiguous()), lambda a, b: mb.matmul(x=a, y=b)),
    "max_pool": ((IMAGE,), lambda a: mb.max_pool(x=a, kernel_sizes=[2, 3], pad_type="valid")),
    "one_hot": ((PLACES,), lambda a: mb.one_hot(indices=a, one_hot_vector_size=3)),
    "pad": ((SIGNAL,), lambda a: mb.pad(x=a, pad=[1, 2])),
    "reduce_argmax": ((SIGNAL,), lambda a: mb.reduce_argmax(x=a)),
    "reduce_sum": ((SIGNAL,), lambda a: mb.expand_dims(x=mb.reduce_sum(x=a), axes=[0])),
    "resize": ((IMAGE,), lambda a: mb.resize(x=a, shape=[7, 5], resized_dims=torch.tensor(2).to(torch.uint32).numpy())),
    "resize_bilinear": ((IMAGE,), lambda a: mb.resize_bilinear(x=a)),
    "rnn": ((SIGNAL, START), lambda a, b: mb.rnn(x=a, initial_h=b, **OF_RNN)),
    "rsqrt": ((POSITIVE,), lambda a: mb.rsqrt(x=a)),
    "scatter": (
        (SIGNAL, integers(0, 0, 2, 1), SIGNAL[:1].contiguous()),
        lambda a, b, c: mb.scatter(data=a, indices=b, updates=c),
    ),
    "sliding_windows": ((SIGNAL,), lambda a: mb.sliding_windows(x=a, axis=2, size=3)),
    "softmax": ((SIGNAL,), lambda a: mb.softmax(x=a)),
    "topk": ((SIGNAL,), lambda a: mb.topk(x=a)),
    "upsample_bilinear": ((IMAGE,), lambda a: mb.upsample_bilinear(x=a)),
    "upsample_nearest_neighbor": ((IMAGE,), lambda a: mb.upsample_nearest_neighbor(x=a)),
}  # fmt: skip
#: What is not left out, as it has no default.
REQUIRED = {
    "x", "y", "data", "input", "values", "weight", "indices", "updates", "kernel_sizes", "pad_type", "mean", "variance",
    "size", "one_hot_vector_size", "pad", "shape", "resized_dims", "initial_h", "initial_c",
    "weight_ih", "weight_hh", "ref_tensor",
}  # fmt: skip
ALSO_REQUIRED = {"concat": {"axis"}, "sliding_windows": {"axis"}}
OPTIONAL = {
    "conv": {"pad_type", "pad"},
    "conv_transpose": {"pad_type", "pad"},
    "avg_pool": {"pad"},
    "max_pool": {"pad"},
}


@pytest.mark.parametrize("kind", CASES)
def test_an_argument_that_is_left_out_has_its_default(kind: str, tmp_path: Path) -> None:
    tensors, build = CASES[kind]
    interpreter = Interpreter(save(build, tensors, tmp_path, "iOS17"), 1)
    inputs = {name: tensor.numpy() for name, tensor in zip("abc", tensors, strict=False)}
    expected = interpreter.run(inputs)
    (function,) = interpreter.functions
    needed = REQUIRED - OPTIONAL.get(kind, set()) | ALSO_REQUIRED.get(kind, set())
    operations = tuple(
        replace(each, inputs={name: given for name, given in each.inputs.items() if name in needed})
        if each.type == kind
        else each
        for each in function.block.operations
    )
    bare = replace(function, block=replace(function.block, operations=operations))
    assert any(before != after for before, after in zip(function.block.operations, operations, strict=True))
    interpreter.routines["main"] = interpreter.preparer.routine(bare.block, bare.arguments, {})
    found = interpreter.run(inputs)
    for name, tensor in expected.items():
        assert tensor.dtype == found[name].dtype
        assert torch.equal(torch.from_numpy(tensor), torch.from_numpy(found[name]))
