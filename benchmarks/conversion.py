"""Wav to wav with a full-size voice: voxc on ONNX Runtime, and the straightforward PyTorch pipeline, in turn.

RVC v2 40k, HuBERT base and an index of 20,000 vectors, all with random weights: time and memory are those of a real
voice. Prints the split of the time by step for both, medians and ratios, and how far the results differ: voxc's from
PyTorch's on the same windows, and from RVC's one long segment with the same noise.

    python benchmarks/conversion.py RECORDING [--segment 2] [--runs 5] [--seconds 8] [--vectors 20000] [--threads 2]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import faiss
import numpy as np
import torch
from eager_rvc import EagerRvc
from full_size import write_content, write_voice
from retrieval import speech
from transformers import HubertModel

from voxc.compiler.audio.seeded_noise import NoiseInput
from voxc.compiler.audio.stopwatch import Stopwatch
from voxc.compiler.bundle import Bundle
from voxc.compiler.core.fidelity import snr_db
from voxc.compiler.core.machine import cpu_name, tool_versions, usable_cores
from voxc.compiler.core.target import load_targets
from voxc.compiler.core.tensor import Array
from voxc.compiler.core.threads import torch_threads
from voxc.compiler.driver import compile_model
from voxc.compiler.families.model import Model
from voxc.compiler.families.rvc.files import VoiceFiles
from voxc.compiler.families.rvc.options import ConvertOptions
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.measure.conversion import Sound
from voxc.compiler.measure.latency import PAUSE_SECONDS
from voxc.compiler.measure.quality.clips import Clip
from voxc.compiler.request import Request
from voxc.compiler.runtime.conversion import convert_audio
from voxc.compiler.runtime.eager import eager_pipeline
from voxc.compiler.runtime.pipeline import Pipeline, load_pipeline

WARM_UP = 1
CELLS = 512
OPTIONS = ConvertOptions(protect=0.5)  # protection does nothing in RVC
STEPS = ("filter", "content", "f0", "retrieval", "synthesizer", "join")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--segment", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--vectors", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=usable_cores())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = full_size_files(Path(folder), options.vectors)
        target = load_targets()["onnxruntime-cpu"]
        request = Request(
            files.checkpoint, (target,), Path(folder) / "bundle", options.segment, threads=options.threads,
            options={"content": files.content, "index": files.index, "index_budget": 1024}, sample=options.recording,
        )  # fmt: skip
        ((place, _),) = compile_model(request, lambda message: None)
        artifact = load_pipeline(Bundle.open(place), options.threads)
        voice = load_voice(files, index_budget=1024)
        straight = straightforward(files, voice)
    audio = lasting(options.recording, options.seconds)
    with torch_threads(options.threads):
        faiss.omp_set_num_threads(options.threads)
        taken = alternate(artifact, straight, audio, options.runs)
        report(taken, len(audio) / 16000, options)
        compare(artifact, straight, voice, audio)


def full_size_files(folder: Path, vectors: int) -> VoiceFiles:
    content = write_content(folder / "content")
    made = np.ascontiguousarray(speech(vectors, 768, 1.2, voice=1))
    index = faiss.index_factory(768, f"IVF{CELLS},Flat")
    index.train(made)
    index.add(made)
    faiss.write_index(index, str(folder / "voice.index"))
    return VoiceFiles(write_voice(folder / "voice.pth"), content, folder / "voice.index")


def straightforward(files: VoiceFiles, voice: Model) -> EagerRvc:
    assert files.content is not None
    assert voice.sample_rate is not None
    index = faiss.read_index(str(files.index))
    return EagerRvc(
        HubertModel.from_pretrained(files.content).eval(),
        voice.components[-1].module,  # type: ignore[arg-type]
        index,
        index.reconstruct_n(0, index.ntotal),
        voice.sample_rate,
    )


def lasting(recording: Path, seconds: float) -> Array:
    """The recording at 16 kHz, repeated until it lasts so long: float32 [n], n a multiple of 320."""
    sound = Sound.read(recording)
    wave = Clip(sound.name, sound.samples, sound.rate).speech(0, len(sound.samples) / sound.rate)
    samples = round(seconds * 50) * 320
    return np.resize(wave, samples)


def alternate(artifact: Pipeline, straight: EagerRvc, audio: Array, runs: int) -> dict[str, list[dict[str, float]]]:
    """Seconds by step of each run of both."""
    taken: dict[str, list[dict[str, float]]] = defaultdict(list)
    for run in range(WARM_UP + runs):
        clock = Stopwatch()
        time.sleep(PAUSE_SECONDS)
        straight.convert(audio, clock)
        time.sleep(PAUSE_SECONDS)
        _, done = convert_audio(audio, 16000, artifact, OPTIONS)
        if run >= WARM_UP:
            taken["PyTorch"].append(clock.seconds)
            taken["voxc"].append(done.steps)
    return taken


def report(taken: dict[str, list[dict[str, float]]], seconds: float, options: argparse.Namespace) -> None:
    versions = tool_versions(["onnxruntime"])
    print(f"{cpu_name()}, {options.threads} threads, torch {versions['torch']}, onnxruntime {versions['onnxruntime']}")
    print(f"{seconds:g} s of audio, windows of {options.segment:g} s, {options.runs} runs in turn; median ms")
    print(f"\n{'':14}{'PyTorch':>10}{'voxc':>10}{'ratio':>8}{'of voxc':>9}")
    totals = {name: np.median([sum(run.values()) for run in runs]) for name, runs in taken.items()}
    others = {step for runs in taken.values() for run in runs for step in run} - set(STEPS)
    rows = {step: (step,) for step in STEPS} | {"everything else": tuple(others)}
    for label, steps in rows.items():
        theirs, ours = (
            np.median([sum(run.get(step, 0) for step in steps) for run in taken[name]]) for name in ("PyTorch", "voxc")
        )
        print(f"{label:16}{theirs * 1e3:8.1f}{ours * 1e3:10.1f}{theirs / ours:8.2f}{ours / totals['voxc']:9.1%}")
    ratio = totals["PyTorch"] / totals["voxc"]
    print(f"{'in all':16}{totals['PyTorch'] * 1e3:8.1f}{totals['voxc'] * 1e3:10.1f}{ratio:8.2f}")


def compare(artifact: Pipeline, straight: EagerRvc, voice: Model, audio: Array) -> None:
    found, _ = convert_audio(audio, 16000, artifact, OPTIONS)
    windows, _ = convert_audio(audio, 16000, eager_pipeline(voice, artifact.chain.frames), OPTIONS)

    def draw(first: int, frames: int) -> list[torch.Tensor]:
        specs = voice.components[-1].noise
        return [
            torch.from_numpy(NoiseInput.of(spec, frames).draw(OPTIONS.seed, stream, first, frames))
            for stream, spec in enumerate(specs)
        ]

    whole = straight.convert(audio, Stopwatch(), draw)
    print(f"\nSNR of voxc to PyTorch on the same windows: {snr_db(windows, found):.1f} dB")
    common = min(len(whole), len(found))
    print(f"SNR of voxc to one segment as in RVC:       {snr_db(whole[:common], found[:common]):.1f} dB")


if __name__ == "__main__":
    main()
