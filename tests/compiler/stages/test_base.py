"""A stage that changes the network: what is compared with what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from torch import nn

from voxc.compiler.bundle import Bundle
from voxc.compiler.cache.store import Store
from voxc.compiler.core.program import Program
from voxc.compiler.core.target import Target
from voxc.compiler.driver import compile_model
from voxc.compiler.manifest import Manifest, read_manifest
from voxc.compiler.request import Request
from voxc.compiler.session import Session
from voxc.compiler.stages.base import Report, Stage
from voxc.compiler.stages.work import Work
from voxc.compiler.verify import verify_bundle


@dataclass(frozen=True)
class Quieten(Stage):
    """Scales the weights of one layer: a network that computes something else."""

    name: ClassVar[str] = "quieten"
    weight: str = "dec.conv_post.weight"
    factor: float = 0.5

    def run(self, work: Work, report: Report) -> tuple[Work, tuple[str, ...]]:
        (part,) = work.parts
        before = part.program.exported
        weight = nn.Parameter(before.state_dict[self.weight] * self.factor, requires_grad=False)
        state = {**before.state_dict, self.weight: weight}
        exported = before._update(before.graph_module, before.graph_signature, state_dict=state)
        program: Program = replace(part.program, exported=exported)
        return work.with_part(replace(part, program=program)), (f"{self.weight} times {self.factor:g}",)


@pytest.fixture(scope="module")
def changed(voice_file: Path, target: Target, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    place = tmp_path_factory.mktemp("stages") / "bundle"
    request = Request(voice_file, (target,), place, frames=30, threads=1, stages=(Quieten(),))
    (bundle,) = compile_model(request)
    return bundle


def test_the_artifact_is_compared_with_the_changed_network(changed: tuple[Path, Manifest]) -> None:
    place, manifest = changed
    assert manifest.status == "passed", manifest.failures
    figures = manifest.measurements.components["synthesizer"].figures
    assert figures["snr"].value is not None
    assert figures["snr"].value > 60
    assert all(check.passed for check in verify_bundle(place))


def test_the_distance_to_the_unchanged_network_is_recorded(changed: tuple[Path, Manifest], compiled: Path) -> None:
    """And the reference of a changed network is not that of the unchanged one."""
    place, manifest = changed
    figures = manifest.measurements.components["synthesizer"].figures
    assert figures["unchanged_snr"].value is not None
    assert 0 < figures["unchanged_snr"].value < 20
    assert "unchanged" in figures["unchanged_snr"].how
    before, after = (Bundle.open(each).reference("synthesizer") for each in (compiled, place))
    np.testing.assert_array_equal(before["phone"], after["phone"])
    assert np.abs(before["audio"] - after["audio"]).max() > 1e-3


def test_the_record_of_a_stage(changed: tuple[Path, Manifest], compiled: Path) -> None:
    _, manifest = changed
    (stage,) = manifest.build.stages
    assert (stage.name, stage.options["factor"], stage.notes) == ("quieten", 0.5, ("dec.conv_post.weight times 0.5",))
    assert manifest.measurements.stages["quieten"].value is not None
    assert read_manifest(compiled).build.stages == ()


def test_a_changed_network_is_another_one_to_the_cache(voice_file: Path, target: Target, tmp_path: Path) -> None:
    session = Session(Store(tmp_path / "cache"))
    digests = []
    for place, stages in (("plain", ()), ("half", (Quieten(),)), ("third", (Quieten(factor=0.3),)), ("again", ())):
        request = Request(voice_file, (target,), tmp_path / place, frames=30, threads=1, stages=stages)
        ((_, manifest),) = compile_model(request, session=session)
        assert manifest.status == "passed", manifest.failures
        digests.append(manifest.component("synthesizer").files[0].sha256)
    assert digests[0] == digests[3]
    assert len(set(digests)) == 3
