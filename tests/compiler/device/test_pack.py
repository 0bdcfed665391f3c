"""The agent's file: what is in it, that it repeats, and that it runs alone."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from voxc.backends import BACKENDS
from voxc.backends.base import Backend
from voxc.compiler.core.errors import UnsupportedError
from voxc.compiler.device.pack import EPOCH, NAME, archive, main, pack, ship_agent
from voxc.compiler.manifest import FileRecord

AGENT = "voxc/compiler/device/agent/"
RUNTIMES = AGENT + "runtimes/"
TENSORRT = "voxc/backends/tensorrt/device/"


def contents(file: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(file)) as opened:
        return {name: opened.read(name).decode() for name in opened.namelist()}


@pytest.fixture(scope="module")
def everything() -> dict[str, str]:
    """The files in an agent for all backends."""
    return contents(pack(list(BACKENDS.values())))


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_an_agent_has_the_modules_of_its_backend_alone(backend: Backend) -> None:
    names = contents(pack([backend])).keys()
    runtimes = {name for name in names if name.startswith(RUNTIMES)}
    assert runtimes == {f"{RUNTIMES}__init__.py", f"{RUNTIMES}{backend.name}.py"}
    assert any(name.startswith(TENSORRT) for name in names) == (backend.name == "tensorrt")
    assert {"__main__.py", f"{AGENT}main.py", f"{AGENT}bundle.py"} <= names


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_an_agent_has_what_it_imports(backend: Backend) -> None:
    files = contents(pack([backend]))
    for name, text in files.items():
        for module in imports(text):
            if module.startswith("voxc."):
                assert f"{module.replace('.', '/')}.py" in files, f"{name} imports {module}"


def imports(text: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    return names


def test_imports_nothing_else_but_the_standard_library(everything: dict[str, str]) -> None:
    """NumPy is imported inside functions, and runtimes by `need`, which says what to install."""
    for name, text in everything.items():
        top = {each.partition(".")[0] for node in ast.parse(text).body for each in imports(ast.unparse(node))
               if isinstance(node, ast.Import | ast.ImportFrom)}  # fmt: skip
        assert top <= sys.stdlib_module_names | {"voxc"}, name


def test_uses_nothing_that_python_3_6_lacks(everything: dict[str, str], tmp_path: Path) -> None:
    for name, text in everything.items():
        ast.parse(text, name, feature_version=(3, 6))
        (tmp_path / "agent" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "agent" / name).write_text(text)
    done = suits_python_3_6(tmp_path / "agent")
    assert done.returncode == 0, done.stdout + done.stderr
    newer = tmp_path / "newer.py"
    newer.write_text("import subprocess\nsubprocess.run(['true'], capture_output=True)\n")
    assert suits_python_3_6(newer).returncode != 0


def suits_python_3_6(place: Path) -> subprocess.CompletedProcess[str]:
    options = ["--target=3.6-", "--violations", "--no-tips"]
    command = [sys.executable, "-c", "import vermin; vermin.main()", *options, str(place)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_its_bytes_follow_from_the_sources_alone() -> None:
    """Whatever the date, the order of files and the permissions in a checkout."""
    files = {"b.py": b"2", "a.py": b"1"}
    assert archive(files) == archive(dict(reversed(files.items())))
    digest = "9d23fe354203e3ee16e11fd228d602d68bfcbffef6ace893396ab3d23777ee85"
    assert hashlib.sha256(archive(files)).hexdigest() == digest
    with zipfile.ZipFile(io.BytesIO(pack([BACKENDS["onnxruntime"]]))) as opened:
        entries = opened.infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {(entry.date_time, entry.compress_type, entry.create_system, entry.external_attr) for entry in entries} == {
        (EPOCH, zipfile.ZIP_STORED, 3, 0o100644 << 16)
    }


def test_an_installed_voxc_is_not_read(tmp_path: Path) -> None:
    """Nor what lies beside the agent."""
    (tmp_path / "installed" / "voxc" / "compiler").mkdir(parents=True)
    for name in ("installed/voxc/__init__.py", "installed/voxc/compiler/__init__.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit('read')")
    (tmp_path / NAME).write_bytes(pack([BACKENDS["onnxruntime"]]))
    command = [sys.executable, tmp_path / NAME, "run"]
    environment = {"PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd="/")
    message = json.loads(done.stdout)["error"]["message"]
    assert message.startswith(f"{tmp_path}/manifest.json: not a manifest of a bundle"), "it is for where it lies"


def test_an_agent_is_a_file_of_the_bundle(tmp_path: Path) -> None:
    record = ship_agent(BACKENDS["mlx"], tmp_path)
    content = pack([BACKENDS["mlx"]])
    assert record == FileRecord(path=NAME, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    assert (tmp_path / NAME).read_bytes() == content


def test_a_backend_without_a_runtime_has_no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(BACKENDS["mlx"]), "device_modules", ())
    with pytest.raises(UnsupportedError, match="mlx has no modules for devices; name a target of another backend"):
        pack([BACKENDS["mlx"]])


@pytest.mark.parametrize(("names", "backends"), [([], [*BACKENDS]), (["tensorrt", "mlx"], ["tensorrt", "mlx"])])
def test_writes_an_agent_to_be_copied_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], backends: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pack", str(tmp_path / "x.pyz"), *names])
    main()
    assert (tmp_path / "x.pyz").read_bytes() == pack([BACKENDS[name] for name in backends])
