from __future__ import annotations

import importlib
import pkgutil

import pytest
import torch

import voxc.passes
from tests.passes.harness import tensors_for
from voxc.compiler.core.component import Component
from voxc.compiler.core.errors import PluginError
from voxc.compiler.core.program import export
from voxc.compiler.core.target import Target, load_targets
from voxc.passes.base import Pass
from voxc.passes.kit.rewrite import Rewrite
from voxc.passes.pipeline import ORDER, pipeline, placed
from voxc.passes.simplify.clean_up import CleanUp


def all_passes() -> set[type[Pass]]:
    for module in pkgutil.walk_packages(voxc.passes.__path__, "voxc.passes."):
        importlib.import_module(module.name)
    passes = {*Pass.__subclasses__(), *Rewrite.__subclasses__()} - {Rewrite}
    return {each for each in passes if each.__module__.startswith("voxc.passes.")}


@pytest.mark.parametrize("target", load_targets().values(), ids=lambda target: target.name)
def test_order_is_what_the_passes_ask_for(target: Target) -> None:
    names = [compiler_pass.name for compiler_pass in pipeline(target)]
    assert len(set(names)) == len(names)
    for compiler_pass in pipeline(target):
        for earlier in compiler_pass.after:
            assert earlier not in names or names.index(earlier) < names.index(compiler_pass.name)


@pytest.mark.parametrize("target", load_targets().values(), ids=lambda target: target.name)
def test_a_pipeline_has_what_applies_in_the_one_order(target: Target) -> None:
    passes = pipeline(target)
    assert passes == tuple(each for each in ORDER if each in passes)
    assert {each.name for each in ORDER if each not in passes} == {
        name
        for name, applies in {
            "fold_time_into_rows": target.work_items,
            "sums_as_products": not target.scans,
            "unroll_recurrent": not target.recurrent,
            "planar_convolutions": target.layout == "planar",
            "channels_last": target.layout == "channels_last",
            "ane_layout": target.layout == "ane",
            "chunk_attention": target.layout == "ane",
            "fold_width": target.layout == "ane" and target.fold_width,
            "fold_heads": target.batched_weights,
            "sub_pixel_upsampling": target.sub_pixel,
        }.items()
        if not applies
    }


def test_names_in_after_exist() -> None:
    names = {each.__module__.rpartition(".")[2] for each in all_passes()}
    assert {earlier for each in all_passes() for earlier in each.after} <= names


def test_every_pass_lives_in_the_file_of_its_name() -> None:
    for each in all_passes():
        module = each.__module__.rpartition(".")[2]
        assert module.replace("_", "") == each.__name__.lower()


@pytest.mark.parametrize(
    ("layout", "dynamic"),
    [
        ("channels_first", False),
        ("channels_first", True),
        ("channels_last", False),
        ("channels_last", True),
        ("ane", False),
        ("planar", False),
    ],
)
def test_the_whole_pipeline_on_rvc(synthesizer: Component, target: Target, dynamic: bool, layout: str) -> None:
    """Each pass that is meant for the target fires on RVC, once, and the numbers stay those of eager PyTorch."""
    first = layout == "channels_first"
    target = target.model_copy(
        update={
            "layout": layout,
            "sub_pixel": 2.0,
            "work_items": target.work_items if first else None,
            "batched_weights": True,
            "fold_width": 600,
            "scans": layout != "planar",
        }
    )
    idle = {"fold_time_into_rows"} if dynamic or not first else set()
    idle |= set() if layout == "channels_last" else {"channels_last", "sub_pixel_upsampling"}
    idle |= set() if layout == "channels_last" and not dynamic else {"fold_heads"}
    idle |= {"fold_batch_norms", "unroll_recurrent"}  # RVC has neither
    idle |= set() if layout == "ane" else {"ane_layout", "chunk_attention", "fold_width"}
    idle |= set() if layout == "planar" else {"planar_convolutions", "sums_as_products"}
    program = export(synthesizer, {"T": 30}, dynamic)
    for compiler_pass in pipeline(target):
        result = compiler_pass(program, target)
        assert result.modified != (compiler_pass.name in idle), compiler_pass.name
        assert not compiler_pass(result.program, target).modified, compiler_pass.name
        program = result.program
    for frames in (30, 41) if dynamic else (30,):
        tensors = tensors_for(synthesizer, frames)
        torch.testing.assert_close(program.run(tensors), synthesizer.run(tensors), atol=2e-5, rtol=0)
    tensors = tensors_for(synthesizer, 30)
    kinds = [spec.kind.name for spec in program.exported.graph_signature.input_specs]
    assert kinds == sorted(kinds), "weights come before inputs"
    called = program.exported.module()(*(tensors[spec.name] for spec in program.inputs))
    torch.testing.assert_close(called, synthesizer.run(tensors)["audio"], atol=2e-5, rtol=0)
    left = {str(node.target) for node in program.graph.nodes}
    assert not left & {
        "aten.flip.default",
        "aten.where.self",
        "aten.remainder.Scalar",
        "aten.linalg_vector_norm.default",
    }


class Late(CleanUp):
    after = ("hoist_noise",)


class Early(CleanUp):
    before = ("clean_up",)


class Lost(CleanUp):
    after = ("no_such_pass",)


class Torn(CleanUp):
    after = ("clean_up",)
    before = ("hoist_noise",)


def test_passes_of_plug_ins_are_placed_by_name() -> None:
    names = [each.name for each in placed(Late(), ORDER)]
    assert names.index("late") == names.index("hoist_noise") + 1
    names = [each.name for each in placed(Early(), ORDER)]
    assert names.index("early") == names.index("clean_up") - 1
    with pytest.raises(PluginError, match="pass lost: there is no pass 'no_such_pass'"):
        placed(Lost(), ORDER)
    with pytest.raises(PluginError, match="pass torn: nothing is after clean_up and before hoist_noise"):
        placed(Torn(), ORDER)
