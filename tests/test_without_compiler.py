"""What bundles need of this machine: the packages that `pip install voxc` brings, and no PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.runtime_packages import distributions, modules, required

#: Runs the command line as if some modules were not installed.
SCRIPT = """\
import sys

class Others:
    def find_spec(self, name, path=None, target=None):
        if name in others:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

others = {*sys.argv[1].split(",")}
sys.meta_path.insert(0, Others())
sys.argv[:2] = ["voxc"]
from voxc.compiler.cli.main import main

main()
"""
DEMO_SAMPLE = Path(__file__).resolve().parents[1] / "demo" / "voice" / "sample.flac"


def voxc(*arguments: object, extra: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command line with the packages of voxc alone, or with those of an extra too."""
    packages = distributions([*required(), *(required(extra) if extra else ())])
    others = modules(metadata.distributions()) - modules(packages.values()) - {*sys.stdlib_module_names, "voxc"}
    command = [sys.executable, "-c", SCRIPT, ",".join(others), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_no_package_of_the_runtime_is_the_compilers() -> None:
    assert not {"torch", "onnx", "scipy", "sympy", "safetensors", "faiss-cpu"} & distributions(required()).keys()


@pytest.mark.parametrize(
    "command",
    [
        ("inspect", "BUNDLE"),
        ("inspect", "BUNDLE", "--json"),
        ("verify", "BUNDLE"),
        ("measure", "BUNDLE", "--runs", 1, "--seconds", 0),
        ("run", "BUNDLE", "--component", "content", "--inputs", "BUNDLE/reference.npz", "--outputs", "PLACE/out.npz"),
        ("convert", DEMO_SAMPLE, "--bundle", "BUNDLE", "--output", "PLACE/out.wav"),
        ("targets",),
        ("cache",),
        ("--version",),
        ("--help",),
    ],
    ids=lambda command: " ".join(map(str, command[:1])),
)
def test_commands_that_need_no_compiler(command: tuple[object, ...], speaking: Path, tmp_path: Path) -> None:
    places = {"BUNDLE": str(speaking), "PLACE": str(tmp_path)}
    arguments = [str(argument) for argument in command]
    for name, place in places.items():
        arguments = [argument.replace(name, place) for argument in arguments]
    done = voxc(*arguments)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr


def test_doctor_says_what_is_missing() -> None:
    assert "onnxruntime" in voxc("doctor").stdout


def test_a_report_needs_its_extra_alone(speaking: Path, tmp_path: Path) -> None:
    done = voxc("report", speaking, "-o", tmp_path / "report.html", extra="report")
    assert done.returncode == 0, done.stderr
    done = voxc("report", speaking, "-o", tmp_path / "report.html")
    assert (done.returncode, "pip install 'voxc[report]'" in done.stderr) == (3, True)


@pytest.mark.parametrize(
    "command",
    [
        ("compile", "demo", "--target", "onnxruntime-cpu"),
        ("inspect", "demo"),
        ("calibrate", "demo", "--audio", DEMO_SAMPLE, "--output", "out.npz"),
    ],
    ids=lambda command: command[0],
)
def test_commands_that_need_the_compiler_say_what_to_install(command: tuple[object, ...]) -> None:
    done = voxc(*command)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == (
        f"voxc: error: voxc {command[0]} needs torch, which is not installed: pip install 'voxc[compile]'"
    )


def test_fallbacks_wait_for_pytorch(backed_bundle: Path) -> None:
    """The artifacts are checked; that their fallbacks cannot be is no fault of the bundle."""
    done = voxc("verify", backed_bundle, "--json")
    assert done.returncode == 0, done.stderr
    checks = [check for check in json.loads(done.stdout)["checks"] if " fallback" in check["what"]]
    assert checks
    assert {check["passed"] for check in checks} == {None}
    assert all("needs torch, which is not installed" in check["seen"] for check in checks)
