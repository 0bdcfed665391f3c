from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("backends", "compiler", "passes")


def folders() -> set[str]:
    return {
        f"voxc.{init.parent.relative_to(ROOT).as_posix().replace('/', '.')}"
        for source in SOURCES
        for init in (ROOT / source).rglob("__init__.py")
    }


def test_every_folder_is_packaged() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert set(packages) == {"voxc", "voxc.demo"} | folders()


def test_every_folder_of_sources_is_a_package() -> None:
    for source in SOURCES:
        for file in (ROOT / source).rglob("*.py"):
            assert (file.parent / "__init__.py").exists(), file


def test_a_wheel_is_complete(tmp_path: Path) -> None:
    """An installed wheel finds its targets, its schema and its voice, and puts one name into site-packages."""
    source = tmp_path / "source"  # a copy, for setuptools leaves a build folder behind
    for folder in (*SOURCES, "demo"):
        shutil.copytree(ROOT / folder, source / folder)
    for file in ("pyproject.toml", "README.md", "targets.yaml"):
        shutil.copy(ROOT / file, source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {
            "voxc",
            wheel.name.split("-py3")[0] + ".dist-info",
        }
        archive.extractall(tmp_path / "site")
    script = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f)]\n"
        "from voxc.compiler import manifest; from voxc.compiler.core import target\n"
        "print(*target.load_targets(), manifest.SCHEMA_FILE.is_file())\n"
        "print(target.__file__)\n"
        "from voxc.compiler.voice_files import *; print(*sorted(vars(find_voice(DEMO)).values(), key=str), sep='\\n')"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    told = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert told.startswith("onnxruntime-cpu ")
    assert "True" in told
    assert str(tmp_path / "site") in told
    shipped = {path.name for path in (ROOT / "demo" / "voice").iterdir()}
    assert {"content", "voice.index", "voice.pth", "sample.flac", "speakers"} <= shipped
    for name in ("content", "voice.index", "voice.pth", "sample.flac", "speakers/0.flac"):
        assert f"{tmp_path / 'site' / 'voxc' / 'demo' / 'voice' / name}" in told, name
