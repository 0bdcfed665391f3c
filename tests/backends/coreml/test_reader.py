from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends.coreml.harness import component_for, emit, program_for
from voxc.backends.coreml import metadata
from voxc.backends.coreml.package import read_program
from voxc.backends.coreml.reader import deployment_of

# What is counted is tested with the lowerings, in `ops`.


@pytest.mark.parametrize("deployment", ["iOS17", "iOS18"])
def test_the_package_says_what_system_it_is_for(tmp_path: Path, deployment: str) -> None:
    program = program_for(component_for(lambda x: x * 2, (1, "T")))
    assert deployment_of(read_program(emit(tmp_path, program, deployment))) == deployment


def test_a_package_of_others_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "DEPLOYMENT", "another.key")
    package = emit(tmp_path, program_for(component_for(lambda x: x * 2, (1, "T"))))
    assert deployment_of(read_program(package)) is None
