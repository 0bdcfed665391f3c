from __future__ import annotations

from pathlib import Path

import pytest

from voxc.backends.tensorrt.device.design import Design


@pytest.mark.parametrize(
    ("layer", "arithmetic"),
    [
        ("a/sin", "fp32"),
        ("a/sin_7", "fp32"),  # a further layer of the node
        ("a/sin_1", "fp16"),  # a node of its own
        ("a/sin_1_12", "fp16"),
        ("a/sin_bias", "fp16"),
        ("b", "int8"),
        ("(Unnamed Layer* 5) [Shuffle]", "fp16"),
        ("other_3", "fp16"),
    ],
)
def test_layers_by_the_names_that_the_parser_gives(layer: str, arithmetic: str) -> None:
    recipe = {"default": "fp16", "layers": {"a/sin": "fp32", "a/sin_1": "fp16", "b": "int8"}}
    design = Design(Path("x.onnx"), recipe)
    assert design.arithmetic(layer) == arithmetic
    assert design.arithmetics == ["fp16", "fp32", "int8"]
    assert Design(Path("x.onnx"), {}).arithmetics == ["fp32"]
