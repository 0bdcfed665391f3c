from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.compiler.device.server import Server, ssh_server
from tests.conftest import Once
from voxc.compiler.manifest import MANIFEST_NAME


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Ctrl-C does what it does in a terminal: tests in the background, and all that they start, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the agent keeps what it can make again, for one test."""
    place = tmp_path / "user cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    return place


@pytest.fixture
def bundle(compiled: Path, tmp_path: Path) -> Path:
    """A bundle of one's own."""
    return Path(shutil.copytree(compiled, tmp_path / "voice"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="session")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what stands for libcudart and for the module tensorrt."""
    from tests.compiler.device.kits import make_hardware

    return make_hardware(tmp_path_factory.mktemp("hardware"))


@pytest.fixture
def kit(bundle: Path) -> Path:
    """A bundle for the Jetson Nano."""
    from tests.compiler.device.kits import make_kit

    make_kit(bundle)
    return bundle


@pytest.fixture(scope="session")
def open_bundle(voice_file: Path, once: Once) -> Path:
    """A bundle whose segments may be of any length, which tests must not change."""
    from tests.compiler.device.kits import FRAMES
    from voxc.compiler.core.recipe import PrecisionRecipe
    from voxc.compiler.core.target import load_targets
    from voxc.compiler.driver import compile_model
    from voxc.compiler.request import Request

    request = Request(voice_file, (load_targets()["onnxruntime-cpu"],), frames=FRAMES, dynamic=True,
                      precision=PrecisionRecipe(policy="fp32"))  # fmt: skip
    return once("open", lambda place: compile_model(replace(request, output=place)))


@pytest.fixture
def open_kit(open_bundle: Path, tmp_path: Path) -> Path:
    from tests.compiler.device.kits import FRAMES, LONGEST, make_kit, profiles_of

    kit = Path(shutil.copytree(open_bundle, tmp_path / "open"))
    make_kit(kit, profiles=profiles_of(kit, 2, FRAMES, LONGEST))
    return kit


def edit_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = bundle / MANIFEST_NAME
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def module_that(directory: Path, name: str, does: str) -> Path:
    """A directory for PYTHONPATH with a module that stands before the real one."""
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.py").write_text(does)
    return directory
