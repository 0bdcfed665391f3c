from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backends.mlx.harness import lowered
from voxc.backends.mlx import emitter
from voxc.backends.mlx.python_source import class_name, laid_out, module_of
from voxc.backends.mlx.statements import INDEX, Call, Dtype, Value, source
from voxc.compiler.core.component import Component
from voxc.compiler.core.plan import PrecisionPlan

X, Y = Value("x", (2, 3), "float32"), Value("y", (2, 3), "float32")
W = Value("dec.weight", (3, 3), "float32", weight=True)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (Call("mx.conv2d", (X, W), {"padding": (0, 1)}), 'mx.conv2d(x, w["dec.weight"], padding=(0, 1))'),
        (Call("*", (Call("+", (X, Y)), 0.5)), "(x + y) * 0.5"),
        (Call("+", (Call("*", (X, Y)), -0.5)), "x * y + -0.5"),
        (Call("-", (X, Call("-", (Y, X)))), "x - (y - x)"),
        (Call("/", (X, Call("*", (Y, X)))), "x / (y * x)"),
        (Call(INDEX, (X, slice(None), slice(1, None, 2))), "x[:, 1::2]"),
        (Call(INDEX, (Call("+", (X, Y)), slice(None, -1))), "(x + y)[:-1]"),
        (Call(".astype", (Call("+", (X, Y)), Dtype("float16"))), "(x + y).astype(mx.float16)"),
        (Call("mx.concatenate", ([X, Y],), {"axis": 1}), "mx.concatenate([x, y], axis=1)"),
        (Call("mx.reshape", (X, (6,))), "mx.reshape(x, (6,))"),
        (Call("mx.clip", (X, None, float("inf"))), 'mx.clip(x, None, float("inf"))'),
        (Call("@", (X, Call("@", (Y, W)))), 'x @ (y @ w["dec.weight"])'),
    ],
)
def test_expressions(expression: Call, text: str) -> None:
    assert source(expression) == text


def test_long_lines_are_broken_as_a_formatter_would() -> None:
    name = Value("dec.resblocks.0.convs1.0.very_long_name.weight", (3, 3), "float32", weight=True)
    call = Call("+", (Call("mx.conv2d", (X, name), {"stride": (1, 12)}), Value("z" * 40, (2, 3), "float32")))
    assert laid_out(call, 0, 8, "conv = ") == [
        "        conv = (",
        '            mx.conv2d(x, w["dec.resblocks.0.convs1.0.very_long_name.weight"], stride=(1, 12))',
        f"            + {'z' * 40}",
        "        )",
    ]


def test_broken_lines_keep_their_parentheses() -> None:
    call = Call("-", (Value("z" * 100, (2, 3), "float32"), Call("-", (X, Y))))
    assert laid_out(call, 0, 8, "y = ")[2] == "            - (x - y)"


def test_modules_are_methods() -> None:
    assert module_of("dec.resblocks.3.convs1.0") == "dec.resblocks.3"
    assert module_of("enc_p.encoder") == "enc_p.encoder"
    assert module_of("emb_g") == "emb_g"
    assert class_name("f0_network") == "F0Network"


@pytest.mark.skipif(shutil.which("ruff", path=str(Path(sys.executable).parent)) is None, reason="needs ruff")
@pytest.mark.parametrize("plan", [PrecisionPlan(), PrecisionPlan(default="w8")], ids=["floats", "packed"])
def test_it_is_formatted_and_clean(tmp_path: Path, synthesizer: Component, plan: PrecisionPlan) -> None:
    *_, file = emitter.emit(lowered(synthesizer, plan=plan), tmp_path)
    ruff = [str(Path(sys.executable).parent / "ruff")]
    options = ["--isolated", "--line-length", "120", str(file)]
    for command in (["format", "--diff"], ["check", "--select", "E,F,I,B,SIM"]):
        done = subprocess.run(ruff + command + options, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
