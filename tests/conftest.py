from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner, Result

from tests.voices import write_speaking_voice, write_voice
from voxc.compiler.cli.app import app
from voxc.compiler.core.component import Component
from voxc.compiler.core.target import Target, load_targets
from voxc.compiler.measure import latency

SHARED = Path(__file__).resolve().parents[2] / "shared"
CPU = load_targets()["onnxruntime-cpu"]
GOLDEN = Path(os.environ.get("VOXC_GOLDEN", SHARED / "golden"))

#: Makes a path by its name, unless that is there.
Once = Callable[[str, Callable[[Path], object]], Path]

# Tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def few_runs() -> Iterator[None]:
    """Latency figures of tiny voices are worth nothing. What is tested is that they are there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "MOST_RUNS", 2)
        patch.setattr(latency, "PAUSE_SECONDS", 0.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def shared_cache(once: Once) -> Iterator[None]:
    """The command line keeps exports where all workers find them, and not among the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOXC_CACHE", str(once("cache", Path.mkdir)))
        yield


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of reference vectors, which lives beside the checkout."""
    if not GOLDEN.is_dir():
        pytest.skip(f"no golden vectors at {GOLDEN}; set VOXC_GOLDEN to their folder")
    return GOLDEN


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real speech, which lives beside the checkout."""
    folder = SHARED / "audio"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}")
    return folder


@pytest.fixture(scope="session")
def target() -> Target:
    return CPU


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Has something made at a path by that name. One worker makes it, and all use it and must not change it."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "once"
    folder.mkdir(exist_ok=True)

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        with FileLock(folder / f"{name}.lock"):
            if not (folder / name).exists():
                make(folder / name)
        return folder / name

    return make_once


@pytest.fixture(scope="session")
def voice_file(once: Once) -> Path:
    return once("tiny.pth", write_voice)


@pytest.fixture(scope="session")
def synthesizer(voice_file: Path) -> Component:
    from voxc.compiler.families.rvc.files import VoiceFiles
    from voxc.compiler.families.rvc.voice import load_voice

    (component,) = load_voice(VoiceFiles(voice_file)).components
    return component


@pytest.fixture(scope="session")
def compiled(voice_file: Path, once: Once) -> Path:
    """A bundle that tests may read and must not change."""
    from voxc.compiler.driver import compile_model
    from voxc.compiler.request import Request

    request = Request(voice_file, (CPU,), frames=30)
    return once("tiny", lambda place: compile_model(replace(request, output=place)))


@pytest.fixture(scope="session")
def speaking_voice(once: Once) -> Path:
    """A voice with encoder, index, sample and a speaker's recording, which tests must not change."""
    return once("speaking-voice", write_speaking_voice)


@pytest.fixture(scope="session")
def speaking(speaking_voice: Path, once: Once) -> Path:
    """A bundle that converts, which tests must not change."""
    from voxc.compiler.driver import compile_model
    from voxc.compiler.request import Request

    request = Request(speaking_voice, (CPU,), frames=50, threads=1)
    return once("speaking", lambda place: compile_model(replace(request, output=place)))


@pytest.fixture(scope="session")
def backed_bundle(speaking_voice: Path, once: Once) -> Path:
    """A bundle that converts and has fallbacks, which tests must not change."""
    from voxc.compiler.driver import compile_model
    from voxc.compiler.request import Request

    request = Request(speaking_voice, (CPU,), frames=50, threads=1, convert=False, fallback=True)
    return once("backed", lambda place: compile_model(replace(request, output=place)))


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


_opened: list[str] = []
_watching = False


@pytest.fixture
def opened_files() -> list[str]:
    """The names of files that Python opens while a test runs; hooks cannot be taken away again."""
    global _watching
    if not _watching:
        sys.addaudithook(lambda event, args: _opened.append(str(args[0])) if event == "open" else None)
        _watching = True
    _opened.clear()
    return _opened
