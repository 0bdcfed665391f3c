"""`make demo`: makes a full-size voice with random weights, compiles it, verifies it, and prints what was measured."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from full_size import write_voice

BUNDLE = Path("demo-bundle")
TARGET = "onnxruntime-cpu"


def voxc(*arguments: object) -> None:
    command = ["voxc", *map(str, arguments)]
    print(f"\n$ {' '.join(command)}", flush=True)
    subprocess.run([sys.executable, "-m", "voxc.compiler.cli", *command[1:]], check=True)


def main() -> None:
    print("No voice is bundled yet: this one has RVC v2 40k's full size and random weights. Its sound is noise,")
    print("its time and memory are those of a real voice.")
    with tempfile.TemporaryDirectory() as folder:
        voice = write_voice(Path(folder) / "demo.pth")
        voxc("compile", voice, "--target", TARGET, "-o", BUNDLE)
    voxc("verify", BUNDLE)
    print(f"\nLook at it with `.venv/bin/voxc inspect {BUNDLE}`.")


if __name__ == "__main__":
    main()
