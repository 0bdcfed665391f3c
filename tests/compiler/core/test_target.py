from __future__ import annotations

from pathlib import Path

import pytest

from voxc.compiler.core.errors import TargetError
from voxc.compiler.core.target import TARGETS_FILE, find_target, find_targets, load_targets

GOOD = """
box:
  description: A box
  backend: onnxruntime
  machine: Box
  opset: 20
  layout: channels_first
  precisions: [fp32]
  scheme: {activations: int8, symmetric: false}
  absent: {int4: no kernels}
  segments: any
  threads: null
  work_items: null
  sub_pixel: null
  gates: [snr>=25]
"""
PEAKS = "  peaks: {rates: {float32: 10}, bandwidth: 25.6, launch: 5, source: a book}\n"


def load(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "targets.yaml"
    path.write_text(text)
    return dict(load_targets(path))


def test_the_shipped_file_is_good() -> None:
    assert "onnxruntime-cpu" in load_targets(TARGETS_FILE)


def test_a_good_file(tmp_path: Path) -> None:
    assert list(load(tmp_path, GOOD)) == ["box"]
    assert list(load(tmp_path, GOOD + PEAKS)) == ["box"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD + "  colour: red\n", "colour: Extra inputs"),
        (GOOD + "  emulated: {int8: fp5}\n", "emulated.int8"),
        (GOOD.replace("  opset: 20\n", ""), "opset: Field required"),
        (GOOD.replace("[fp32]", "[fp5]"), "precisions.0"),
        (GOOD.replace("false", "perhaps"), "scheme.symmetric"),
        (GOOD.replace("false}", "false, pair_limit: 32384}"), "scheme.pair_limit: Input should be greater"),
        (GOOD.replace("false}", "false, pair_limit: 32767.5}"), "scheme.pair_limit: Input should be a valid integer"),
        (GOOD.replace("channels_first", "sideways"), "layout"),
        (GOOD.replace("[fp32]", "[]"), "precisions"),
        (GOOD.replace("opset: 20", "opset: 9"), "opset"),
        (GOOD.replace("null", "0"), "threads"),
        (GOOD + PEAKS.replace("float32", "float64"), "peaks.rates.float64"),
        (GOOD + PEAKS.replace("10", "0"), "peaks.rates.float32"),
        (GOOD + PEAKS.replace("25.6", "-1"), "peaks.bandwidth"),
        (GOOD + PEAKS.replace(", source: a book", ""), "peaks.source"),
        ("box: [1]", "properties must be a mapping"),
        ("- box", "must map target names"),
        ("box: {", "not readable as YAML"),
    ],
)
def test_a_wrong_file_is_an_error_that_says_where(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(TargetError, match=complaint) as caught:
        load(tmp_path, text)
    assert "targets.yaml" in str(caught.value)


def test_an_unknown_target_has_near_names() -> None:
    with pytest.raises(TargetError, match="'onnxruntime-cpuu'; nearest: onnxruntime-cpu"):
        find_target("onnxruntime-cpuu", load_targets())


@pytest.mark.parametrize("name", ["Jetson-Nano", "JETSON-NANO", "jetson-nano"])
def test_names_may_be_in_capitals(name: str) -> None:
    assert find_target(name, load_targets()).name == "jetson-nano"


def test_names_may_be_listed() -> None:
    known = load_targets()
    targets, every = find_targets(["tensorrt, Apple-MLX", "jetson-nano", "tensorrt,,"], known)
    assert [target.name for target in targets] == ["tensorrt", "apple-mlx", "jetson-nano"]
    assert not every
    assert find_targets(["jetson-nano,ALL"], known) == (tuple(known.values()), True)
    with pytest.raises(TargetError, match="give the name of a target"):
        find_targets([","], known)


def test_what_is_emulated_is_not_there_and_says_why() -> None:
    for target in load_targets().values():
        for name, stands in target.emulated.items():
            assert name in target.absent
            assert {name, stands}.isdisjoint(target.precisions)


def test_what_is_emulated_is_told_with_the_rest() -> None:
    told = load_targets()["jetson-nano"].told_precisions
    assert told == ("fp16", "fp32", "int8 (emulated)", "w8 (emulated)")


def test_a_name_like_no_other_gets_all_names() -> None:
    with pytest.raises(TargetError, match=", ".join(load_targets())):
        find_target("zzzz", load_targets())
