from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("backends", "compiler", "passes")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]


def folders() -> set[str]:
    return {
        f"voxc.{init.parent.relative_to(ROOT).as_posix().replace('/', '.')}"
        for source in SOURCES
        for init in (ROOT / source).rglob("__init__.py")
    }


def test_every_folder_is_packaged() -> None:
    packages = PROJECT["tool"]["setuptools"]["packages"]
    assert set(packages) == {"voxc", "voxc.demo"} | folders()


def test_every_folder_of_sources_is_a_package() -> None:
    for source in SOURCES:
        for file in (ROOT / source).rglob("*.py"):
            assert (file.parent / "__init__.py").exists(), file


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, for setuptools leaves files behind in what it builds from."""
    copy = tmp_path_factory.mktemp("tree")
    for folder in (*SOURCES, "benchmarks", "demo", "docs", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ROOT.iterdir():
        if file.is_file() and not file.name.startswith("."):
            shutil.copy(file, copy)
    return copy


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    script = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, folder], cwd=tree, capture_output=True, check=True)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, as package indexes and installers do."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["-q", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "-w", folder, sdist], check=True)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is installed in."""
    folder = tmp_path_factory.mktemp("site")
    options = ["-q", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", folder, wheel], check=True)
    return folder


def test_a_source_distribution_has_the_tree(tree: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    files = {file.relative_to(tree).as_posix() for file in tree.rglob("*") if file.is_file()}
    lacking = {name for name in files - names if ".egg-info/" not in name}
    assert not lacking
    assert {"LICENSE", "targets.yaml", "compiler/manifest.schema.json", "demo/voice/voice.pth"} <= names


def test_a_wheel_puts_one_name_into_site_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    information = f"voxc-{VERSION}.dist-info"
    assert {name.split("/")[0] for name in names} == {"voxc", information}
    assert f"{information}/licenses/LICENSE" in names
    assert {"voxc/__init__.py", "voxc/__main__.py", "voxc/py.typed"} <= set(names)


def test_a_wheel_has_the_data_of_its_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    data = {
        f"voxc/{file.relative_to(ROOT).as_posix()}"
        for source in (*SOURCES, "demo/voice")
        for file in (ROOT / source).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert data | {"voxc/targets.yaml"} <= names


def test_a_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"voxc-{VERSION}.dist-info/METADATA").decode()
    about = email.message_from_string(text)
    assert (about["Name"], about["Version"], about["Author"]) == ("voxc", VERSION, "the voxc developers")
    assert (about["License-Expression"], about["License-File"]) == ("Apache-2.0", "LICENSE")
    assert "Typing :: Typed" in about.get_all("Classifier", [])


def test_an_installed_wheel_works(site: Path, tmp_path: Path) -> None:
    """It finds its targets, its schema and its voice, and knows its version but no commit."""
    script = (
        "import sys; sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder)]\n"
        "from voxc.compiler import manifest, version; from voxc.compiler.core import target\n"
        "from voxc.compiler.families.rvc.files import DEMO, find_voice\n"
        "print(version.describe_version())\n"
        "print(*target.load_targets())\n"
        "print(manifest.SCHEMA_FILE.is_file(), target.__file__)\n"
        "print(*(value for value in vars(find_voice(DEMO)).values()), sep='\\n')"
    )
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    version, targets, schema, *voice = done.stdout.splitlines()
    assert version == VERSION
    assert targets.startswith("onnxruntime-cpu ")
    assert schema == f"True {site / 'voxc' / 'compiler' / 'core' / 'target.py'}"
    for name in ("content", "voice.index", "voice.pth", "sample.flac", "speakers/0.flac"):
        assert any(str(site / "voxc" / "demo" / "voice" / name) in line for line in voice), name
