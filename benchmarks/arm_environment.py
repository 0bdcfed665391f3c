"""An arm64 Python with the bundle's runtimes, which `qemu-aarch64` runs on this machine; for `other_cpus.py`.

Debian's arm64 packages are unpacked into a folder, and the Arm wheels of what is installed here beside them. apt works
on a state of its own in that folder, so the machine's packages stay as they are. It needs Debian, for apt's sources.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT, WHEELS, SITE, APT = "root", "wheels", "site-packages", "apt"
SYSTEM = ("python3", "libstdc++6")
RUNTIMES = ("numpy", "onnxruntime", "ai-edge-litert")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
# The host's would make the runtimes believe that the CPU is an x86 one, and crash. Kernels are chosen by the auxiliary
# vector, which is the emulated CPU's; this only has to be of the form that Arm has.
CPU_INFO = """\
processor\t: 0
BogoMIPS\t: 100.00
Features\t: fp asimd
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3
"""


class ArmEnvironmentError(Exception):
    """Why there is no arm64 Python."""


def make(folder: Path) -> None:
    """Makes the environment anew; 250 MB.

    Raises:
        ArmEnvironmentError: a tool is missing, or failed.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise ArmEnvironmentError(f"needs {tool}, of Debian")
    if folder.exists():
        shutil.rmtree(folder)
    (folder / WHEELS).mkdir(parents=True)
    unpack_system(folder)
    version = (folder / ROOT / "usr/bin/python3").readlink().name.removeprefix("python")
    unpack_wheels(folder, version)
    (folder / ROOT / "proc").mkdir(exist_ok=True)
    (folder / ROOT / "proc" / "cpuinfo").write_text(CPU_INFO, encoding="utf-8")
    shutil.rmtree(folder / APT)
    shutil.rmtree(folder / WHEELS)


def unpack_system(folder: Path) -> None:
    """Python and the libraries that it needs, as apt resolves them for a machine that has nothing yet."""
    apt, root = folder / APT, folder / ROOT
    for part in ("lists/partial", "archives/partial"):
        (apt / part).mkdir(parents=True)
    (apt / "status").touch()
    settings = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Sandbox::User": "", "Dir::State": apt,
        "Dir::State::Lists": apt / "lists", "Dir::State::status": apt / "status", "Dir::Cache": apt,
        "Dir::Cache::Archives": apt / "archives", "Debug::NoLocking": "true",
    }  # fmt: skip
    get = ["apt-get", "-qq", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
    call([*get, "update"])
    call([*get, "install", "--yes", "--download-only", "--no-install-recommends", *SYSTEM])
    for package in sorted((apt / "archives").glob("*.deb")):
        call(["dpkg-deb", "--extract", package, root])
    for name in ("lib", "bin"):  # newer packages have everything below /usr
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")


def unpack_wheels(folder: Path, version: str) -> None:
    """The wheels for Arm of the versions that are installed here."""
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in RUNTIMES]
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--dest",
        folder / WHEELS,
        "--no-deps",
    ]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", version]
    call([*command, *(word for platform in PLATFORMS for word in ("--platform", platform)), *wanted])
    for wheel in (folder / WHEELS).glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / SITE)


def call(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ArmEnvironmentError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")


def python(folder: Path) -> list[str]:
    """What runs the environment's Python, behind `qemu-aarch64`.

    Raises:
        ArmEnvironmentError: it has not been made.
    """
    binary = folder / ROOT / "usr/bin/python3"
    if not binary.exists():
        raise ArmEnvironmentError("no arm64 Python; --make-arm-environment makes it")
    return ["-L", str(folder / ROOT), "-E", f"PYTHONPATH={folder / SITE}", str(binary)]
