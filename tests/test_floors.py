"""The floors of the house: what may import what. A part imports itself and parts on lower floors, and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("backends", "compiler", "passes")

#: From the ground up. A part is a folder with all in it, or a single module. The agent is at the top: it is packed into
#: a file for devices, and nothing imports it.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("compiler.core",),
    ("passes.base",),
    ("passes.kit",),
    ("compiler.attempt", "compiler.audio", "compiler.cache", "compiler.fallback", "compiler.manifest", "compiler.steps",
     "compiler.torch_file",
     "passes.attention", "passes.layout", "passes.precision", "passes.simplify", "passes.source", "passes.verify",
     "backends.lowering"),
    ("compiler.networks", "compiler.totals"),
    ("compiler.bundle", "compiler.families", "compiler.terminal", "compiler.version", "passes.pipeline",
     "backends.base", "backends.onnx"),
    ("compiler.describe", "compiler.stages", "backends.coreml", "backends.mlx",
     "backends.onnxruntime", "backends.tensorrt", "backends.tflite"),
    ("compiler.request", "backends"),
    ("compiler.device",),
    ("compiler.runtime", "compiler.explain"),
    ("compiler.calibration", "compiler.measure", "compiler.verify", "compiler.explain_report"),
    ("compiler.precision", "compiler.report", "compiler.session"),
    ("compiler.diff", "compiler.job", "compiler.survey"),
    ("compiler.compiled",),
    ("compiler.assemble",),
    ("compiler.driver",),
    ("compiler.cli",),
    ("__init__", "__main__", "compiler.__main__", "compiler.device.agent"),
)  # fmt: skip
FLOOR = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}


def part_of(module: str) -> str | None:
    """The part that a module, by its name below `voxc`, belongs to."""
    names = module.split(".")
    return next((part for n in range(len(names), 0, -1) if (part := ".".join(names[:n])) in FLOOR), None)


def modules() -> Iterator[tuple[str, Path]]:
    """All modules by their names below `voxc`, but for empty ones; `__init__` is that of `voxc` itself."""
    for file in sorted(ROOT.glob("*.py")):
        yield file.stem, file
    for source in SOURCES:
        for file in sorted((ROOT / source).rglob("*.py")):
            names = file.relative_to(ROOT).with_suffix("").parts
            if file.stat().st_size:
                yield ".".join(names[:-1] if names[-1] == "__init__" else names), file


def imports(text: str) -> Iterator[str]:
    """What a module imports of voxc, also inside functions, by names below `voxc`; of `from x import y`, `x.y`."""
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.removeprefix("voxc.") for name in names if name.startswith("voxc."))


def wrong_arrows(module: str, text: str) -> list[str]:
    """The imports of a module that go up, or across a floor."""
    here = part_of(module)
    assert here is not None, f"{module} is on no floor; add it to FLOORS"
    arrows = []
    for name in imports(text):
        there = part_of(name)
        assert there is not None, f"{module} imports {name}, which is on no floor"
        if there != here and FLOOR[there] >= FLOOR[here]:
            arrows.append(f"{module} -> {name}")
    return arrows


def test_imports_go_down() -> None:
    assert not [arrow for module, file in modules() for arrow in wrong_arrows(module, file.read_text())]


@pytest.mark.parametrize(
    ("module", "line", "wrong"),
    [
        ("compiler.core.tensor", "from voxc.compiler.manifest import Manifest", True),
        ("compiler.core.tensor", "from voxc.compiler.core.errors import VoxcError", False),
        ("compiler.core.tensor", "def f():\n    import voxc.compiler.driver", True),
        ("backends.mlx.runner", "from voxc.backends.tflite.runner import quiet_runtime", True),
        ("backends.mlx.runner", "from voxc.backends.base import Backend", False),
        ("passes.base", "from voxc.backends.base import Backend", True),
        ("compiler.measure.latency", "from voxc.compiler.calibration.ranges import calibrate", True),
        ("compiler.driver", "from voxc.backends import find_backend", False),
        ("compiler.device.pack", "from voxc.compiler.device.agent.main import main", True),
        ("backends.tensorrt.engine", "from voxc.compiler.device.agent import bundle", True),
        ("compiler.cli.app", "import voxc.compiler.device.agent.main", True),
    ],
)
def test_wrong_arrows_are_seen(module: str, line: str, wrong: bool) -> None:
    assert bool(wrong_arrows(module, line)) == wrong


def test_every_part_is_there() -> None:
    assert {part_of(module) for module, _ in modules()} == FLOOR.keys()
