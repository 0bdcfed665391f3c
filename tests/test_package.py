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

from tests.runtime_packages import distributions, required

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("backends", "compiler", "passes")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]

#: A program that uses voxc, and changes that a type checker must not let pass, each with its complaint.
PROGRAM = """\
import numpy as np
import voxc


def spoken(seconds: float) -> voxc.Converted:
    with voxc.open("bundle", threads=2) as voice:
        converted = voice.convert(np.zeros(round(seconds * 16_000), np.float32), 16_000, transpose=5, seed=1)
    rate: int = converted.rate
    return voxc.Converted(converted.samples * np.float32(0.5), rate)


def keeps(voice: voxc.Voice) -> int:
    try:
        return len(voice.convert(np.zeros(10), 16_000).samples)
    except voxc.VoxcError:
        return 0
"""
MISTAKES = {
    "option": ("transpose=5", "transposed=5", 'Unexpected keyword argument "transposed"'),
    "rate": ("rate: int", "rate: str", "Incompatible types in assignment"),
    "name": ("voxc.Voice", "voxc.Voices", 'Name "voxc.Voices" is not defined'),
}


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


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has what `pip install 'voxc[tflite]'` brings, and nothing else."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = place / "bin" / "python"
    options = ["-q", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", *options, wheel], check=True)
    site_packages = next((place / "lib").glob("python*/site-packages"))
    for distribution in distributions([*required(), *required("tflite")]).values():
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            link = site_packages / top
            if not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(top))))
    return place / "bin"


def commands(bundle: Path, place: Path) -> dict[str, tuple[object, ...]]:
    """All that bundles can do, by the name of the command."""
    reference, sample = bundle / "reference.npz", ROOT / "demo" / "voice" / "sample.flac"
    return {
        "inspect": (bundle,),
        "verify": (bundle,),
        "run": (bundle, "--component", "content", "--inputs", reference, "--outputs", place / "out.npz"),
        "convert": (sample, "--bundle", bundle, "-o", place / "out.wav"),
        "measure": (bundle, "--runs", 1, "--seconds", 0),
        "targets": (),
    }


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnxruntime-cpu", "tflite-float32"])
def test_bundles_run_without_pytorch(environment: Path, target: str, speaking_voice: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    arguments = ("--target", target, "--frames", "50", "--no-sample", "--no-cache", "-o", bundle)
    subprocess.run([sys.executable, "-m", "voxc", "compile", speaking_voice, *arguments], check=True)
    for command, options in commands(bundle, tmp_path).items():
        line = [environment / "voxc", command, *map(str, options)]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
    line = [environment / "voxc", "compile", speaking_voice, *arguments]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "pip install 'voxc[compile]'" in done.stderr) == (3, True), done.stderr
    done = subprocess.run([environment / "python", "-c", "import torch"], capture_output=True, text=True, check=False)
    assert "No module named 'torch'" in done.stderr


@pytest.mark.slow
def test_programs_are_checked_strictly(environment: Path, tmp_path: Path) -> None:
    """By the types of an installed voxc, in a folder of their own."""
    (tmp_path / "right.py").write_text(PROGRAM)
    for name, (before, after, _) in MISTAKES.items():
        (tmp_path / f"{name}.py").write_text(PROGRAM.replace(before, after))
    options = ["--strict", "--config-file=", "--python-executable", environment / "python", "."]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert not [line for line in lines if line.startswith("right.py")], done.stdout
    for name, (_, _, complaint) in MISTAKES.items():
        assert any(line.startswith(f"{name}.py:") and complaint in line for line in lines), done.stdout
