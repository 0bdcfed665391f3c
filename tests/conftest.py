from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.voices import write_speaking_voice, write_voice
from voxc.compiler.cli import app
from voxc.compiler.core.component import Component
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.measure import latency

SHARED = Path(__file__).resolve().parents[2] / "shared"
GOLDEN = Path(os.environ.get("VOXC_GOLDEN", SHARED / "golden"))

# Tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def few_runs() -> Iterator[None]:
    """Latency figures of tiny voices are worth nothing. What is tested is that they are there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "LEAST_RUNS", 2)
        patch.setattr(latency, "PAUSE_SECONDS", 0.0)
        yield


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of reference vectors, which lives beside the checkout."""
    if not GOLDEN.is_dir():
        pytest.skip(f"no golden vectors at {GOLDEN}; set VOXC_GOLDEN to their folder")
    return GOLDEN


@pytest.fixture(scope="session")
def target() -> Target:
    return load_targets()["onnxruntime-cpu"]


@pytest.fixture(scope="session")
def voice_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voice(tmp_path_factory.mktemp("voice") / "tiny.pth")


@pytest.fixture(scope="session")
def synthesizer(voice_file: Path) -> Component:
    from voxc.compiler.families import load_voice
    from voxc.compiler.voice_files import VoiceFiles

    (component,) = load_voice(VoiceFiles(voice_file)).components
    return component


@pytest.fixture(scope="session")
def compiled(voice_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that tests may read and must not change."""
    from voxc.compiler.driver import compile_voice
    from voxc.compiler.request import Request

    place = tmp_path_factory.mktemp("bundle") / "tiny"
    compile_voice(Request(voice_file, (load_targets()["onnxruntime-cpu"],), place, frames=30))
    return place


@pytest.fixture(scope="session")
def speaking_voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice with encoder, index, sample and a speaker's recording, which tests must not change."""
    return write_speaking_voice(tmp_path_factory.mktemp("speaking") / "tiny")


@pytest.fixture(scope="session")
def speaking(speaking_voice: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that converts, which tests must not change."""
    from voxc.compiler.driver import compile_voice
    from voxc.compiler.request import Request

    place = tmp_path_factory.mktemp("bundle") / "speaking"
    compile_voice(Request(speaking_voice, (load_targets()["onnxruntime-cpu"],), place, frames=50, threads=1))
    return place


@pytest.fixture(scope="session")
def backed_bundle(speaking_voice: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that converts and has fallbacks, which tests must not change."""
    from voxc.compiler.driver import compile_voice
    from voxc.compiler.request import Request

    place = tmp_path_factory.mktemp("bundle") / "backed"
    target = load_targets()["onnxruntime-cpu"]
    compile_voice(Request(speaking_voice, (target,), place, frames=50, threads=1, convert=False, fallback=True))
    return place


class Voxc:
    """The command line, run in this process."""

    def __init__(self) -> None:
        self.runner = CliRunner()

    def __call__(self, *arguments: object) -> Result:
        result = self.runner.invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result


@pytest.fixture(scope="session")
def voxc() -> Voxc:
    return Voxc()
