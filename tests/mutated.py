"""Mutated files of each kind that people hand to voxc, each read as voxc reads it.

    python -m tests.mutated COUNT FOLDER BUNDLES KIND...

Prints a JSON object for each kind: how many files were read, how many refused, what was raised that is no error of
ours, which other files were opened, and by how much memory grew. It is a process of its own, so that a crash is seen as
one.
"""

from __future__ import annotations

import json
import random
import resource
import struct
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import load_file

import voxc
from tests.voices import fairseq_names, write_encoder, write_rmvpe, write_speaking_voice, write_training, write_voice
from voxc.compiler.audio.sound import SoundFile
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import VoxcError
from voxc.compiler.core.tensor import read_npz, write_npz
from voxc.compiler.families import load_model
from voxc.compiler.families.rvc.listening import LISTENS_TO
from voxc.compiler.families.rvc.retrieval.index import load_index
from voxc.compiler.manifest import MANIFEST_NAME, read_manifest
from voxc.compiler.networks.hubert.load import load_encoder
from voxc.compiler.networks.rmvpe.file import load_rmvpe
from voxc.compiler.precision.plans import read_plans
from voxc.compiler.runtime.component import load_component

MOST_BYTES = 300 << 20  # a runtime that gets loaded takes some
LIES = (0, 1, 0x7F, 0xFF, 0xFFFF, (1 << 31) - 1, 1 << 31, 1 << 32, 1 << 40, 1 << 62, (1 << 63) - 1, (1 << 64) - 1)
#: Where Python's own files and those of libraries are; they may be opened at any time.
LIBRARIES = tuple(
    str(Path(each).resolve()) for each in {*sysconfig.get_paths().values(), sys.prefix, "/proc", "/sys", *voxc.__path__}
)

#: Makes a file in a folder, whose bytes are to be mutated; and reads it.
Kind = tuple[Callable[[Path, Path], Path], Callable[[Path], object]]


def recording(suffix: str) -> Kind:
    def make(folder: Path, _: Path) -> Path:
        path = folder / f"sound{suffix}"
        sound = 0.1 * np.random.default_rng(0).standard_normal(4000)
        soundfile.write(path, sound, 16000)
        return path

    def read(path: Path) -> None:
        with SoundFile(path) as sound:
            for _ in sound.blocks():
                pass

    return make, read


def artifact(target: str, suffix: str) -> Kind:
    """A file of a bundle, which has another digest in the manifest."""

    def make(_: Path, bundles: Path) -> Path:
        return next(path for path in sorted((bundles / target).rglob(f"*{suffix}")) if path.is_file())

    def read(path: Path) -> None:
        bundle = next(parent for parent in path.parents if (parent / MANIFEST_NAME).exists())
        load_component(Bundle.open(bundle), "synthesizer", 1)

    return make, read


def write_fairseq(folder: Path, _: Path) -> Path:
    encoder = write_encoder(folder / "content")
    path = folder / "hubert_base.pt"
    settings = {"model": {"encoder_attention_heads": 4}, "task": {"normalize": False}}
    torch.save({"cfg": settings, "model": fairseq_names(load_file(encoder / "model.safetensors"))}, path)
    return path


def write_npz_file(folder: Path, _: Path) -> Path:
    path = folder / "samples.npz"
    write_npz(path, {"synthesizer/phone": np.ones((1, 4, 6), np.float32), "pitch": np.ones((1, 4), np.int64)})
    return path


def write_onnx(folder: Path, _: Path) -> Path:
    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Sequential(torch.nn.Conv1d(2, 4, 3), torch.nn.LeakyReLU(), torch.nn.Conv1d(4, 2, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

    path = folder / "network.onnx"
    torch.onnx.export(Network(), (torch.ones(1, 2, 9),), path, dynamo=True, external_data=False, verbose=False)
    return path


#: Files of bundles, the targets that they are for, and how their names end.
TARGET_OF = {
    "onnx artifact": "onnxruntime-cpu", "tflite artifact": "tflite-float32", "mlpackage artifact": "apple-ane",
    "mlxfn artifact": "apple-mlx",
}  # fmt: skip
SUFFIX_OF = {kind: f".{kind.split()[0]}" for kind in TARGET_OF} | {"mlpackage artifact": ".mlmodel"}

KINDS: Mapping[str, Kind] = {
    "checkpoint": (lambda folder, _: write_voice(folder / "voice.pth"), load_model),
    "file of a training": (lambda folder, _: write_training(folder) / "G_100.pth", load_model),
    "index": (lambda folder, _: write_speaking_voice(folder / "v") / "tiny.index", lambda path: load_index(path, 256)),
    "safetensors": (
        lambda folder, _: write_encoder(folder / "content") / "model.safetensors",
        lambda path: load_encoder(path.parent, LISTENS_TO["v1"]),
    ),
    "encoder config": (
        lambda folder, _: write_encoder(folder / "content") / "config.json",
        lambda path: load_encoder(path.parent, LISTENS_TO["v1"]),
    ),
    "fairseq encoder": (write_fairseq, lambda path: load_encoder(path, LISTENS_TO["v1"])),
    "rmvpe": (lambda folder, _: write_rmvpe(folder / "rmvpe.pt"), load_rmvpe),
    "npz": (write_npz_file, read_npz),
    "manifest": (
        lambda _, bundles: bundles / "onnxruntime-cpu" / MANIFEST_NAME, lambda path: read_manifest(path.parent)
    ),
    "plan": (lambda _, bundles: bundles / "onnxruntime-cpu" / "plan.json", read_plans),
    "wav": recording(".wav"),
    "flac": recording(".flac"),
    "mp3": recording(".mp3"),
    "onnx": (write_onnx, load_model),
    **{kind: artifact(target, SUFFIX_OF[kind]) for kind, target in TARGET_OF.items()},
}  # fmt: skip


def mutate(content: bytes, draw: random.Random) -> bytes:
    """Cut, flipped, with immense numbers, or with a part of itself in another place."""
    result = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4, 8))):
        place = draw.randrange(len(result) + 1)
        way = draw.randrange(5)
        if way == 0:
            del result[place:]
        elif way == 1 and place < len(result):
            result[place] = draw.randrange(256)
        elif way == 2:
            result[place : place + 8] = struct.pack("<Q", draw.choice(LIES))
        elif way == 3:
            result[place : place + 4] = struct.pack("<I", draw.choice(LIES) & 0xFFFFFFFF)
        else:
            start = draw.randrange(len(result) + 1)
            result[place:place] = result[start : start + draw.randrange(64)]
    return bytes(result)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def try_out(kind: str, count: int, folder: Path, bundles: Path) -> dict[str, object]:
    """Reads `count` mutated files of a kind, made in `folder`."""
    folder.mkdir()
    make, read = KINDS[kind]
    path = make(folder, bundles)
    whole, draw = path.read_bytes(), random.Random(0)
    read(path)  # what is loaded once, is
    opened: set[str] = set()
    sys.addaudithook(lambda event, args: opened.add(str(args[0])) if event == "open" else None)
    before, refused, foreign = peak(), 0, {}
    for number in range(count):
        path.write_bytes(mutate(whole, draw))
        try:
            read(path)
        except VoxcError as error:
            refused += 1
            if "\n" in str(error):
                foreign[number] = f"several lines: {error}"
        except BaseException as error:  # noqa: BLE001, what must not come
            foreign[number] = f"{type(error).__name__}: {error}"
    path.write_bytes(whole)
    near = (str(folder), str(bundles), tempfile.gettempdir(), *LIBRARIES)
    others = sorted(name for name in opened if name.startswith("/") and not name.startswith(near))
    return {
        "kind": kind, "read": count - refused - len(foreign), "refused": refused,
        "foreign": list(foreign.items())[:5], "opened": others[:5], "grown": peak() - before,
    }  # fmt: skip


if __name__ == "__main__":
    _, how_many, place, made, *chosen = sys.argv
    for each in chosen:
        print(json.dumps(try_out(each, int(how_many), Path(place) / each.replace(" ", "-"), Path(made))), flush=True)
