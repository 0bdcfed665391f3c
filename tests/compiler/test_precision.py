"""Precision from end to end: what is asked for, what the plan says, and what the file of the artifact holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from tests.conftest import Voxc
from voxc.backends.onnx import reader as onnx_reader
from voxc.backends.tensorrt.backend import has_tensorrt
from voxc.backends.tflite import reader as tflite_reader
from voxc.compiler import compiled as compiled_module
from voxc.compiler.core.errors import RecipeError
from voxc.compiler.core.plan import Policy, Precision
from voxc.compiler.core.recipe import PrecisionRecipe
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.driver import compile_model
from voxc.compiler.manifest import Manifest, read_manifest
from voxc.compiler.measure.figures import missing_latency
from voxc.compiler.precision.plans import PLAN_NAME, read_plans
from voxc.compiler.request import Request

TARGETS = load_targets()
READERS = {"tflite-int8": tflite_reader.count_operators, "onnxruntime-cpu": onnx_reader.count_operators}
#: Convolutions and linear layers, by the names of nodes in a plan and of operators in files.
LAYERS = ("convolution", "conv_channels_last", "addmm", "mm", "linear")
OPERATORS = {"Conv", "ConvTranspose", "Gemm", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"}
FRAMES = 10


@pytest.fixture(scope="module", autouse=True)
def untimed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled_module, "latency_figures", lambda *_, **__: missing_latency("not asked for"))
        yield


def recipe(*precision: str, plan: Path | None = None) -> PrecisionRecipe:
    return PrecisionRecipe().with_options(precision, min_snr=3.0, plan=plan)


def compiled(model: Path, target: Target, place: Path, asked: PrecisionRecipe, frames: int = FRAMES) -> Manifest:
    ((_, manifest),) = compile_model(Request(model, (target,), place, frames=frames, precision=asked, threads=1))
    return manifest


@pytest.fixture(scope="module", params=READERS)
def bundle(request: pytest.FixtureRequest, voice_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small voice in int8, which tests must not change."""
    place = tmp_path_factory.mktemp("int8") / str(request.param)
    compiled(voice_file, TARGETS[request.param], place, recipe("int8"))
    return place


def test_the_build_passes(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert manifest.status == "passed", manifest.failures
    assert manifest.build.recipe.precision == "int8"
    assert manifest.measurements.calibration is not None
    assert manifest.build.components[0].min_snr_db == 3


def test_the_precisions_of_modules_add_up(bundle: Path) -> None:
    (component,) = read_manifest(bundle).build.components
    total = Counter[str]()
    for counts in component.precisions.values():
        total.update(counts)
    assert component.precision_histogram == dict(total)
    plan = read_plans(bundle).components["synthesizer"]
    planned = Counter(plan.nodes.values())
    assert {name: total[name] for name in planned} == planned
    assert total["int8"] > 50
    in_decoder = sum(counts.get("int8", 0) for path, counts in component.precisions.items() if path.startswith("dec."))
    assert 0 < in_decoder < total["int8"]


def test_the_file_has_as_many_integer_layers_as_the_plan(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    (component,) = manifest.build.components
    plan = read_plans(bundle).components["synthesizer"]
    planned = [name for name, each in plan.nodes.items() if each == "int8" and name.startswith(LAYERS)]
    found = READERS[manifest.build.target.name](bundle / component.files[0].path)
    assert component.operators == found
    assert sum(counts.get("int8", 0) for name, counts in found.items() if name in OPERATORS) == len(planned) > 30
    floats = sum(counts.get("fp32", 0) for name, counts in found.items() if name in OPERATORS)
    assert floats == 2, "of the loudness of a harmonic, and the last one"


def test_inspect_prints_what_each_module_is_in(bundle: Path, voxc: Voxc) -> None:
    printed = voxc("inspect", bundle).stdout
    (component,) = read_manifest(bundle).build.components
    table = printed.partition("Precision")[2].partition("Passes")[0]
    for path, counts in component.precisions.items():
        row = next(line.split() for line in table.splitlines() if line.split()[:1] == [path or component.name])
        assert [int(cell) for cell in row[1:]] == [counts[name] for name in sorted(counts)], path
    assert {"fp32", "int8", "w8"} <= set(table.split())


def test_a_bundle_is_a_plan(bundle: Path, voice_file: Path, tmp_path: Path) -> None:
    first = read_manifest(bundle)
    target = TARGETS[first.build.target.name]
    again = compiled(voice_file, target, tmp_path / "again", recipe(plan=bundle))
    assert again.build_digest == first.build_digest
    assert again.measurements.calibration is None, "ranges come from the plan"
    for file in (first.build.components[0].files[0].path, PLAN_NAME):
        assert (tmp_path / "again" / file).read_bytes() == (bundle / file).read_bytes()


def test_a_plan_of_another_target_is_refused(bundle: Path, voice_file: Path, tmp_path: Path) -> None:
    (other,) = set(READERS) - {read_manifest(bundle).build.target.name}
    with pytest.raises(RecipeError, match="speaks of a node .* that synthesizer has not; it was made for"):
        compiled(voice_file, TARGETS[other], tmp_path / "other", recipe(plan=bundle))
    assert not (tmp_path / "other").exists()


def test_a_plan_that_asks_for_what_the_target_lacks(bundle: Path, voice_file: Path, tmp_path: Path) -> None:
    target = TARGETS[read_manifest(bundle).build.target.name]
    poor = target.model_copy(update={"precisions": ("fp32",), "absent": {"int8": "no integer units"}})
    with pytest.raises(RecipeError, match=r"has no precision 'int8' \(no integer units\); it has fp32"):
        compiled(voice_file, poor, tmp_path / "other", recipe(plan=bundle))


def test_a_search_can_be_used_again(voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a bound leaves some of the layers that were free."""
    from voxc.compiler.precision.clocks import LayerTime
    from voxc.compiler.precision.layers import LayerClock

    monkeypatch.setattr(LayerClock, "time", lambda *_: LayerTime(2.0, 1.0))
    target = TARGETS["onnxruntime-cpu"]
    asked = recipe("auto", "enc_p.*=fp32", "flow.*=fp32").with_options(min_snr=24.0)
    first = compiled(voice_file, target, tmp_path / "found", asked)
    histogram = first.build.components[0].precision_histogram
    assert histogram["int8"] > 0
    again = compiled(voice_file, target, tmp_path / "again", PrecisionRecipe(min_snr=24.0, plan=tmp_path / "found"))
    assert again.build_digest == first.build_digest
    (table, plot) = (tmp_path / "found" / file.path for file in first.measurements.searches)
    assert (table.name, plot.name) == ("synthesizer.json", "synthesizer.png")
    assert not again.measurements.searches
    timed = json.loads(table.read_text())["timed"]
    assert timed.startswith("onnxruntime ")
    assert timed.endswith("1 threads, on this machine")


def test_a_search_without_a_clock_says_that_it_estimates(voice_file: Path, tmp_path: Path, voxc: Voxc) -> None:
    """In the manifest, in what `voxc inspect` prints, and in the table of the search."""
    if has_tensorrt():
        pytest.skip("TensorRT is here, so layers are timed")
    target = TARGETS["jetson-orin-nano-jp6"]
    place = tmp_path / "kit"
    manifest = compiled(voice_file, target, place, recipe("auto"))
    figures = manifest.measurements.components["synthesizer"].figures
    saved, share = figures["saved_by_int8"], figures["int8_macs"]
    told = "estimates, as no runtime of jetson-orin-nano-jp6 is here: the roofline"
    assert (saved.evidence, saved.unit) == ("estimate", "ms")
    assert told in saved.how
    assert share.value is not None
    assert share.value > 50
    table = json.loads((place / manifest.measurements.searches[0].path).read_text())
    assert (table["evidence"], table["floats"]) == ("estimate", "float16")
    assert table["timed"].startswith(told)
    printed = " ".join(voxc("inspect", place).stdout.split())
    assert "saved_by_int8" in printed
    assert "estimates, as no runtime of" in printed


def test_exceptions_in_a_voice_of_several_components(speaking_voice: Path, tmp_path: Path) -> None:
    """They go to the component that has such modules."""
    target = TARGETS["onnxruntime-cpu"]
    manifest = compiled(speaking_voice, target, tmp_path / "bundle", recipe("fp32", "dec.resblocks.*=int8"), frames=50)
    integers = {component.name: component.precision_histogram.get("int8", 0) for component in manifest.build.components}
    assert integers["synthesizer"] > 0
    assert set(integers) == {"content", "retrieval", "synthesizer"}
    assert integers["content"] == integers["retrieval"] == 0
    (synthesizer,) = (each for each in manifest.build.components if each.name == "synthesizer")
    assert all(path.startswith("dec.resblocks") for path, counts in synthesizer.precisions.items() if "int8" in counts)


def test_an_exception_that_no_component_has_names_what_is_near(speaking_voice: Path, tmp_path: Path) -> None:
    target = TARGETS["onnxruntime-cpu"]
    with pytest.raises(RecipeError, match=r"content, retrieval, synthesizer: no module or node 'dec.cnov_pre'; "
                       r"nearest: .*dec.conv_pre"):  # fmt: skip
        compiled(speaking_voice, target, tmp_path / "bundle", recipe("dec.cnov_pre=int8"), frames=50)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_target_says_why_it_lacks_a_precision(
    voxc: Voxc, target: Target, voice_file: Path, tmp_path: Path
) -> None:
    assert {*target.precisions, *target.absent, "fp32"} == set(get_args(Policy))
    for policy, reason in target.absent.items():
        if policy == "fp32":
            continue  # the mildest of exceptions, which every target takes
        for asked in (policy, f"dec.*={policy}") if policy in get_args(Precision) else (policy,):
            result = voxc("compile", voice_file, "--target", target.name, "-p", asked, "-o", tmp_path / "bundle")
            assert result.exit_code == RecipeError.exit_code
            assert f"target {target.name} has no precision '{policy}' ({reason}" in result.stderr


@pytest.mark.parametrize("name", ["tflite-float32", "tflite-fp16"])
@pytest.mark.parametrize("asked", ["int8", "auto", "dec.*=int8"])
def test_a_target_without_integers_names_the_one_that_has_them(
    voice_file: Path, tmp_path: Path, name: str, asked: str
) -> None:
    with pytest.raises(RecipeError, match=rf"{name} has no precision '.*' \(the target tflite-int8 is for it\)"):
        compiled(voice_file, TARGETS[name], tmp_path / "bundle", recipe(asked))


@pytest.mark.parametrize("name", ["onnxruntime-cpu", "raspberry-pi"])
@pytest.mark.parametrize("asked", ["int8", "auto", "dec.*=int8"])
def test_integers_are_for_one_length(voice_file: Path, tmp_path: Path, name: str, asked: str) -> None:
    request = Request(voice_file, (TARGETS[name],), tmp_path / "bundle", precision=recipe(asked), dynamic=True)
    with pytest.raises(RecipeError, match="calibrated for one segment length; leave out --dynamic or --precision"):
        compile_model(request)


def test_a_target_of_one_length_has_no_dynamic(voxc: Voxc, voice_file: Path, tmp_path: Path) -> None:
    result = voxc("compile", voice_file, "--target", "tflite-int8", "-p", "int8", "--dynamic", "-o", tmp_path / "b")
    assert result.exit_code == RecipeError.exit_code
    assert "needs a fixed segment length; leave out --dynamic" in result.stderr
