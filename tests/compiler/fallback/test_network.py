"""Fallbacks that are not what voxc wrote: each is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.compiler.fallback.networks import CHANNELS, FRAMES, component, program, read, tampered
from voxc.compiler.core.errors import BundleError, TensorError
from voxc.compiler.core.target import Target
from voxc.compiler.fallback import network
from voxc.compiler.fallback.write import write_fallback

HUGE = 1 << 40


def call(document: dict[str, Any], operator: str) -> dict[str, Any]:
    return next(each for each in document["calls"] if each["operator"] == operator)


def insert(document: dict[str, Any], *calls: dict[str, Any]) -> None:
    document["calls"] = [*calls, *document["calls"]]


def made(name: str, operator: str, *arguments: object) -> dict[str, Any]:
    return {"name": name, "operator": operator, "arguments": list(arguments)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda graph: call(graph, "aten.relu.default").update(operator="aten.relu_.default"), "relu_.default, which"),
        (lambda graph: call(graph, "aten.relu.default").update(operator="os.system"), "os.system, which"),
        (lambda graph: call(graph, "aten.relu.default").update(arguments=["rm -rf /"]), "no Tensor"),
        (lambda graph: call(graph, "aten.relu.default").update(keywords={"out": None}), "no argument 'out'"),
        (lambda graph: graph["weights"].update({next(iter(graph["weights"])): "nowhere"}), "has no tensor nowhere"),
        (lambda graph: graph["inputs"].update({next(iter(graph["inputs"])): "z"}), "has z, noise, and the component"),
        (lambda graph: graph["outputs"].update(z=graph["outputs"]["y"]), "has y, z, and the component has y"),
        (lambda graph: graph.update(calls=graph["calls"][1:]), "not there yet"),
    ],
)
def test_hostile_graphs_are_refused_as_they_are_read(
    target: Target, tmp_path: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    graph, exported = tampered(target, tmp_path, change)
    with pytest.raises(BundleError, match=told):
        read(graph, exported)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda graph: insert(graph, made("huge", "aten.full.default", [HUGE], 0)), "takes .* MiB"),
        (lambda graph: insert(graph, made("huge", "aten.full.default", [HUGE, HUGE], 0)), "does not compute"),
        (lambda graph: insert(graph, made("odd", "aten.full.default", [-1], 0)), "does not compute"),
        (lambda graph: insert(graph, made("odd", "aten.relu.default", 1.5)), "does not compute"),
        (lambda graph: insert(graph, made("odd", "operator.floordiv", 1, 0)), "does not compute"),
        (lambda graph: insert(graph, made("odd", "operator.mul", 1 << 40, 1 << 40)), "does not compute: a size of"),
        (lambda graph: insert(graph, made("odd", "operator.mul", {"value": "x"}, 2)), "sizes are numbers"),
        (lambda graph: insert(graph, made("odd", "operator.getitem", {"value": "x"}, 0)), "several results"),
        (lambda graph: graph["outputs"].update(y="x"), r"does not give y as float32 \[1, 4, 12\]"),
        (
            lambda graph: (insert(graph, made("odd", "operator.add", 1, 1)), graph["outputs"].update(y="odd")),
            "does not give y",
        ),
    ],
)
def test_hostile_graphs_are_refused_before_they_take_memory(
    target: Target, tmp_path: Path, change: Callable[[dict[str, Any]], None], told: str
) -> None:
    graph, exported = tampered(target, tmp_path, change)
    with pytest.raises(BundleError, match=told):
        read(graph, exported).run(component().reference_inputs({"T": FRAMES}))


def test_many_large_values_are_refused(target: Target, tmp_path: Path) -> None:
    """Each of them is allowed."""
    sizes = [1 << 29]  # 2 GiB of float32
    names = [f"large_{number}" for number in range(5)]

    def hoard(graph: dict[str, Any]) -> None:
        calls = [made(name, "aten.full.default", sizes, 0.0) for name in names]
        insert(graph, *calls, made("all", "aten.cat.default", [{"value": name} for name in names]))

    graph, exported = tampered(target, tmp_path, hoard)
    with pytest.raises(BundleError, match="after large_3: takes 8192 MiB"):
        read(graph, exported).run(component().reference_inputs({"T": FRAMES}))


def test_graphs_beyond_json(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = program(target)
    graph, _ = write_fallback(exported, tmp_path)
    for content in (b"", b"\x80\x04", b"[" * 100_000, b'{"version": 1'):
        graph.write_bytes(content)
        with pytest.raises(BundleError, match="not a fallback"):
            read(graph, exported)
    monkeypatch.setattr(network, "MAX_GRAPH_BYTES", 4)
    with pytest.raises(BundleError, match="larger than"):
        read(graph, exported)
    graph.unlink()
    with pytest.raises(BundleError, match="No such file"):
        read(graph, exported)


def test_weights_that_are_no_weights(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = program(target)
    graph, weights = write_fallback(exported, tmp_path)
    good = weights.read_bytes()
    for content in (b"", good[:-1], (1 << 62).to_bytes(8, "little") + good[8:], good + b"more"):
        weights.write_bytes(content)
        with pytest.raises(BundleError, match=r"small\.safetensors: not a readable safetensors file"):
            read(graph, exported)
    monkeypatch.setattr(network, "MAX_WEIGHT_BYTES", 4)
    with pytest.raises(BundleError, match="larger than"):
        read(graph, exported)
    weights.unlink()
    with pytest.raises(BundleError, match="No such file"):
        read(graph, exported)


def test_inputs_that_do_not_fit(target: Target, tmp_path: Path) -> None:
    exported = program(target)
    graph, _ = write_fallback(exported, tmp_path)
    wrong = {name: np.zeros((1, CHANNELS + 1, FRAMES), np.float32) for name in ("x", "noise")}
    with pytest.raises((BundleError, TensorError), match="does not compute"):
        read(graph, exported).run(wrong)


def test_an_index_out_of_its_table_is_an_error_and_no_crash(target: Target, tmp_path: Path) -> None:
    """Only the values tell."""

    def look_up(graph: dict[str, Any]) -> None:
        weight = next(name for name, key in graph["weights"].items() if key == "first.bias")
        insert(
            graph,
            made("row", "aten.view.default", {"value": weight}, [1, CHANNELS]),
            made("far", "aten.full.default", [1], 10**6) | {"keywords": {"dtype": {"dtype": "int64"}}},
            made("found", "aten.embedding.default", {"value": "row"}, {"value": "far"}),
        )

    graph, exported = tampered(target, tmp_path, look_up)
    with pytest.raises(TensorError, match="PyTorch could not run these inputs"):
        read(graph, exported).run(component().reference_inputs({"T": FRAMES}))


def test_threads_are_put_back(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = program(target)
    graph, _ = write_fallback(exported, tmp_path)
    before, seen = torch.get_num_threads(), []

    def evaluate(*_: object) -> dict[str, torch.Tensor]:
        seen.append(torch.get_num_threads())
        return {"y": torch.zeros(1, CHANNELS, 2 * FRAMES)}

    monkeypatch.setattr(network.Fallback, "evaluate", evaluate)
    network.Fallback.read(graph, exported.inputs, exported.outputs, before + 1).run(
        component().reference_inputs({"T": FRAMES})
    )
    assert seen[-1] == before + 1
    assert torch.get_num_threads() == before
