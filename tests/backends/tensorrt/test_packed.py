"""Weights that take 8 bits in a kit and are floats for whoever reads its ONNX files."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from tests.backends.tensorrt.conftest import Gpu
from tests.backends.tensorrt.test_backend import NANO, lowered
from tests.backends.tensorrt.test_golden import golden_pair
from tests.compiler.families.rvc.test_synthesizer import SLOW_VOICES
from tests.conftest import Voxc
from tests.passes.harness import component_of, tensors_for
from voxc.backends.onnx.runner import OnnxRuntimeRunner
from voxc.backends.tensorrt import packed
from voxc.backends.tensorrt.backend import TensorRTBackend, prove, version_of
from voxc.backends.tensorrt.engine import EngineRunner
from voxc.backends.tensorrt.legality import Reading, complaints
from voxc.backends.tensorrt.packed import packed_beside, whole
from voxc.backends.tensorrt.precisions import read_precisions
from voxc.backends.tensorrt.table import tables_for
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import BundleError, OutputError, UnsupportedError
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.program import Program
from voxc.compiler.core.tensor import Array, read_npz, write_npz
from voxc.compiler.manifest import read_manifest
from voxc.compiler.precision.plans import read_plans
from voxc.passes.precision.annotate_precision import AnnotatePrecision
from voxc.passes.precision.insert_quantization import InsertQuantization

BACKEND = TensorRTBackend()


def emulated(component: Component, frames: int = 12) -> Program:
    program = AnnotatePrecision("w8")(lowered(component, NANO, frames), NANO).program
    return InsertQuantization()(program, NANO).program


@pytest.fixture(scope="module")
def component(synthesizer: Component) -> Component:
    return synthesizer


@pytest.fixture(scope="module")
def kit(component: Component, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX file of a kit, which tests must not change."""
    return BACKEND.emit(emulated(component), NANO, tmp_path_factory.mktemp("kit")).files[0]


@pytest.fixture
def own(kit: Path, tmp_path: Path) -> Path:
    for file in kit.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path / kit.name


def external(file: Path) -> list[onnx.TensorProto]:
    return [each for each in onnx.load(file, load_external_data=False).graph.initializer if each.external_data]


def test_the_kit_is_smaller_and_speaks_of_floats(kit: Path, component: Component, tmp_path: Path) -> None:
    names = {file.name for file in kit.parent.iterdir()}
    assert names == {"synthesizer.onnx", "synthesizer.weights.npz", "synthesizer.precisions.json"}
    tensors = external(kit)
    assert len(tensors) > 50
    assert {each.data_type for each in tensors} == {onnx.TensorProto.FLOAT}
    kinds = Counter(node.op_type for node in onnx.load(kit, load_external_data=False).graph.node)
    assert not {"QuantizeLinear", "DequantizeLinear"} & kinds.keys()
    floats = sum(4 * int(np.prod(each.dims)) for each in tensors)
    arrays = read_npz(kit.with_name("synthesizer.weights.npz"))
    assert sum(array.nbytes for name, array in arrays.items() if name.startswith("numbers/")) == floats // 4
    plain = BACKEND.emit(lowered(component, NANO), NANO, tmp_path).files[0]
    left = plain.stat().st_size - kit.stat().st_size
    assert left > floats - 100 * len(tensors), "all that is packed has left the ONNX file, which says where it is"
    assert Counter(node.op_type for node in onnx.load(plain).graph.node) == kinds


def test_the_file_with_its_weights_is_good(kit: Path) -> None:
    """By ONNX's checker; and legal, whether its weights are there or not."""
    with whole(kit) as copy:
        onnx.checker.check_model(str(copy), full_check=True)
        found = {each.name: numpy_helper.to_array(each) for each in onnx.load(copy).graph.initializer}
        prove(NANO, copy, tables_for(version_of(NANO)), {})
    prove(NANO, kit, tables_for(version_of(NANO)), {})
    arrays = read_npz(kit.with_name("synthesizer.weights.npz"))
    for each in external(kit):
        wanted = arrays[f"numbers/{each.name}"].astype(np.float32) * arrays[f"scales/{each.name}"]
        assert np.array_equal(found[each.name], wanted)
    assert not copy.parent.exists()


def test_it_computes_what_the_graph_does(kit: Path, component: Component) -> None:
    before = sorted(kit.parent.iterdir())
    inputs = component.reference_inputs({"T": 12})
    found = BACKEND.load(kit, 1).run(inputs)
    assert sorted(kit.parent.iterdir()) == before
    program = emulated(component)
    expected = program.run({name: torch.from_numpy(array) for name, array in inputs.items()})
    for name, tensor in expected.items():
        assert snr_db(tensor.numpy(), found[name]) > 90
    exact = component.run({name: torch.from_numpy(array) for name, array in inputs.items()})
    for name, tensor in exact.items():
        assert 25 < snr_db(tensor.numpy(), found[name]) < 90, "8 bits are not float32"


def test_layers_compute_in_float16_and_say_why(kit: Path) -> None:
    recipe = read_precisions(kit.with_name("synthesizer.precisions.json"))
    assert recipe.uses == {"fp16", "fp32"}
    told = [name for name, why in recipe.reasons.items() if why.startswith("its weights take 8 bits in the kit")]
    assert len(told) > 50
    assert {recipe.layers[name] for name in told} == {"fp16"}
    placements = {each.name: each for each in BACKEND.explain(kit, None)}  # type: ignore[arg-type]
    assert "floats in the engine" in placements[told[0]].why
    assert sum(each.macs for each in placements.values()) > 0


def test_emission_is_repeatable(kit: Path, component: Component, tmp_path: Path) -> None:
    for file in BACKEND.emit(emulated(component), NANO, tmp_path).files:
        assert file.read_bytes() == kit.with_name(file.name).read_bytes()


def test_without_emulation_nothing_is_packed(component: Component, tmp_path: Path) -> None:
    artifact = BACKEND.emit(lowered(component, NANO), NANO, tmp_path)
    assert packed_beside(artifact.files[0]) is None
    with whole(artifact.files[0]) as file:
        assert file == artifact.files[0]


def test_files_that_are_too_large(component: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxc.backends.onnx.emitter.MOST_INLINE_BYTES", 100)
    with pytest.raises(UnsupportedError, match="synthesizer: weights of 2 GiB and more cannot be emulated"):
        BACKEND.emit(emulated(component), NANO, tmp_path)


def weights(file: Path, change: Callable[[dict[str, Array]], object]) -> None:
    """Changes the arrays beside an ONNX file."""
    place = file.with_name("synthesizer.weights.npz")
    arrays = read_npz(place)
    change(arrays)
    write_npz(place, arrays)


def first(arrays: dict[str, Array]) -> str:
    return min(name.removeprefix("numbers/") for name in arrays if name.startswith("numbers/"))


def shorten(arrays: dict[str, Array]) -> None:
    name = first(arrays)
    arrays[f"numbers/{name}"], arrays[f"scales/{name}"] = arrays[f"numbers/{name}"][:1], arrays[f"scales/{name}"][:1]


def leave_out(arrays: dict[str, Array]) -> None:
    name = first(arrays)
    del arrays[f"numbers/{name}"], arrays[f"scales/{name}"]


def elsewhere(file: Path, key: str, value: str) -> None:
    model = onnx.load(file, load_external_data=False)
    tensor = next(each for each in model.graph.initializer if each.external_data)
    for entry in tensor.external_data:
        entry.value = value if entry.key == key else entry.value
    onnx.save_model(model, file)


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda file: weights(file, shorten), "is not the weight of that name in synthesizer.weights.npz"),
        (lambda file: weights(file, leave_out), "is not the weight of that name"),
        (lambda file: elsewhere(file, "location", "/etc/hostname"), "is not the weight of that name"),
        (lambda file: elsewhere(file, "location", "../synthesizer.onnx.data"), "is not the weight of that name"),
        (lambda file: elsewhere(file, "offset", "4"), "is not the weight of that name"),
        (lambda file: elsewhere(file, "length", "4000000000"), "is not the weight of that name"),
        (lambda file: weights(file, lambda arrays: arrays.clear()), "is not the weight of that name"),
        (lambda file: file.with_name("synthesizer.weights.npz").write_bytes(b"PK"), "not the weights of a kit"),
        (lambda file: file.write_bytes(b"\xff" * 40), "not readable as ONNX"),
        (lambda file: file.with_name("synthesizer.weights.npz").unlink(), "ONNX Runtime refuses it"),
    ],
)
def test_files_from_anyone(own: Path, harm: Callable[[Path], object], complaint: str) -> None:
    harm(own)
    with pytest.raises(BundleError, match=complaint):
        BACKEND.load(own, 1)


def test_no_room(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(packed, "SCRATCH", tmp_path / "file" / "scratch")
    with pytest.raises(OutputError, match="cannot hold the weights of synthesizer.onnx"):
        BACKEND.load(own, 1)


def test_the_copy_goes_away_when_the_runtime_refuses_it(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, file: Path, threads: int, **options: object) -> None:
        raise BundleError(f"{file}: refused")

    before = set(Path(tempfile.gettempdir()).iterdir())
    monkeypatch.setattr(OnnxRuntimeRunner, "__init__", refuse)
    with pytest.raises(BundleError, match="refused"):
        BACKEND.load(own, 1)
    left = set(Path(tempfile.gettempdir()).iterdir()) - before
    assert not [place for place in left if place.name.startswith(".voxc-")]


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
def test_an_engine_on_the_host_is_built_of_floats(gpu: Gpu, own: Path, component: Component, version: str) -> None:
    reference = component.reference_inputs({"T": 12})
    (expected,) = BACKEND.load(own, 1).run(reference).values()
    gpu(version)
    left = {file.name for file in own.parent.iterdir()}
    (found,) = EngineRunner.of(own).run(reference).values()
    assert np.abs(found - expected).max() <= 1e-5
    assert {file.name for file in own.parent.iterdir()} - left <= {"cache"}
    elsewhere(own, "offset", "4")
    with pytest.raises(BundleError, match="is not the weight of that name"):
        EngineRunner.of(own)


@pytest.fixture(scope="module")
def bundles(voice_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A voice in float16, and with weights of 8 bits; both as the command line makes them."""
    place, voxc = tmp_path_factory.mktemp("bundles"), Voxc()
    options = ("--target", "jetson-nano", "--frames", 10)
    for name, precision in (("fp16", ()), ("int8", ("-p", "int8", "--allow-emulated"))):
        assert voxc("compile", voice_file, *options, *precision, "-o", place / name).exit_code == 0
    return place / "fp16", place / "int8"


def test_the_command_line_makes_smaller_bundles(bundles: tuple[Path, Path]) -> None:
    half, small = (read_manifest(bundle).build for bundle in bundles)
    (before,), (after,) = half.components, small.components
    assert small.recipe.precision == "w8"
    assert after.min_snr_db == 25
    assert after.precision_histogram["w8"] > 50
    assert {name: sum(counts.values()) for name, counts in after.operators.items()} == {
        name: sum(counts.values()) for name, counts in before.operators.items()
    }
    assert {kind for counts in after.operators.values() for kind in counts} == {"fp16", "fp32"}
    notes = [note for done in after.passes for note in done.notes]
    assert "w8 is emulated: it makes the bundle smaller; the target computes in fp16, as without it" in notes
    plan = read_plans(bundles[1]).components["synthesizer"]
    assert "w8" in plan.nodes.values()
    assert any("emulated" in note for note in plan.notes)


def test_the_command_line_runs_verifies_and_explains_them(
    bundles: tuple[Path, Path], tmp_path: Path, voxc: Voxc
) -> None:
    _, small = bundles
    assert voxc("verify", small).exit_code == 0
    options = ("--component", "synthesizer", "--inputs", small / "reference.npz", "--outputs", tmp_path / "out.npz")
    assert voxc("run", small, *options).exit_code == 0
    told = voxc("explain", small)
    assert "w8 is emulated: it makes the bundle smaller" in told.stdout
    assert "floats in the engine" in " ".join(told.stdout.split())
    assert "would help" not in told.stdout


def test_a_plan_with_emulation_needs_it_allowed_again(
    bundles: tuple[Path, Path], voice_file: Path, tmp_path: Path, voxc: Voxc
) -> None:
    options = ("compile", voice_file, "--target", "jetson-nano", "--frames", 10, "--plan", bundles[1])
    refused = voxc(*options, "-o", tmp_path / "again")
    assert refused.exit_code == 2
    assert "has no precision 'w8'" in refused.stderr
    assert "--allow-emulated saves those bytes" in refused.stderr
    assert voxc(*options, "--allow-emulated", "-o", tmp_path / "again").exit_code == 0
    files = [read_manifest(bundle).build.components[0].files for bundle in (bundles[1], tmp_path / "again")]
    assert files[0] == files[1]


@pytest.mark.parametrize("name", SLOW_VOICES)
def test_golden_pairs(golden: Path, tmp_path: Path, name: str) -> None:
    """Smaller, legal, valid, and 25 dB of the reference's audio or more."""
    program, inputs, expected = golden_pair(golden, name, NANO)
    size = BACKEND.emit(program, NANO, tmp_path).files[0].stat().st_size
    planned = AnnotatePrecision("w8")(program, NANO).program
    file, beside, _ = BACKEND.emit(InsertQuantization()(planned, NANO).program, NANO, tmp_path).files
    assert file.stat().st_size + beside.stat().st_size < 0.7 * size, "small weights, whose names take more than they"
    assert snr_db(expected, BACKEND.load(file, 1).run(inputs)["audio"]) >= 25
    with whole(file) as copy:
        onnx.checker.check_model(str(copy), full_check=True)
        reading = Reading(onnx.load(copy))
    for table in tables_for(version_of(NANO)):
        assert not list(complaints(reading, table))


class Wide(nn.Module):
    """Layers whose weights are most of the file, of all kinds that have any."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.up = nn.Conv1d(64, 128, 7, padding=3), nn.ConvTranspose1d(128, 64, 8, stride=4, padding=2)
        self.grouped, self.linear = nn.Conv1d(64, 64, 31, padding=15, groups=4), nn.Linear(64, 512)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(self.up(self.conv(x).relu()).relu())
        return self.linear(x.transpose(1, 2))


def test_large_weights_take_a_quarter(tmp_path: Path) -> None:
    wide = component_of(Wide(), (1, 64, 12))
    half, small = tmp_path / "half", tmp_path / "small"
    sizes = []
    for place, program in ((half, lowered(wide, NANO)), (small, emulated(wide))):
        place.mkdir()
        sizes.append(sum(file.stat().st_size for file in BACKEND.emit(program, NANO, place).files))
    assert sizes[1] < 0.27 * sizes[0]
    inputs = {name: tensor.numpy() for name, tensor in tensors_for(wide).items()}
    expected = wide.run(tensors_for(wide))["y"].numpy()
    assert snr_db(expected, BACKEND.load(small / f"{wide.name}.onnx", 1).run(inputs)["y"]) > 35
