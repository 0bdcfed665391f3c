from __future__ import annotations

import subprocess
import sys

import pytest

from voxc.compiler.core.errors import MissingRuntimeError
from voxc.compiler.measure.quality.needs import QUALITY_NEEDS, describe, load


def test_needs_are_installed_and_say_what_installs_them() -> None:
    assert {need.package for need in QUALITY_NEEDS} > {"resemblyzer", "pystoi", "pesq", "speechmos"}
    assert all(need.version and "voxc[quality]" in need.install for need in QUALITY_NEEDS)


def test_a_missing_library_names_the_extra() -> None:
    with pytest.raises(MissingRuntimeError, match=r"no_such_library.*pip install 'voxc\[quality\]'"):
        load("no_such_library")
    assert describe("no_such_library") == "no_such_library (not installed)"


def test_importing_the_families_imports_no_library() -> None:
    code = "import sys; import voxc.compiler.measure.quality.families; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "voxc.compiler.measure.quality.families" in modules
    assert not {"resemblyzer", "librosa", "parselmouth", "pystoi", "pesq", "speechmos", "soxr"} & set(modules)
