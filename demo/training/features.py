"""What the synthesizer learns from: content features and F0 of the target speakers, and their retrieval index.

    python demo/training/features.py WORK

Writes WORK/features.pt and WORK/voice.index.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import torch
from corpus import HOP, read_voice
from disguise import DISGUISES
from pitch import bridge, read_f0
from speech import TARGETS

from voxc.compiler.families.rvc.listening import LISTENS_TO
from voxc.compiler.networks.hubert.load import load_encoder

INDEX_VECTORS = 1400
QUIET = 0.01  # root mean square below which a frame is not speech


def learn_speaker(work: Path, speaker: int) -> list[dict]:
    """Each utterance's audio, F0 [2 T] without gaps, and features [1 + DISGUISES, T, 256] in float16."""
    torch.set_num_threads(1)
    encoder = load_encoder(work / "content", LISTENS_TO["v1"])
    name = TARGETS[speaker]
    disguised = [read_voice(work / "disguised" / f"{name}_{number}.npz") for number in range(DISGUISES)]
    learned = []
    for versions in zip(read_voice(work / "train" / f"{name}.npz"), *disguised, strict=True):
        audio = torch.from_numpy(np.stack([version.audio for version in versions]))
        with torch.no_grad():
            features = encoder(audio).to(torch.float16)
        f0 = torch.from_numpy(bridge(read_f0(versions[0].audio, 2 * features.shape[1])))
        learned.append({"speaker": speaker, "audio": audio[0], "f0": f0, "features": features})
    return learned


def loud_frames(one: dict) -> torch.Tensor:
    """The undisguised features of the frames with speech in them: [n, 256] float32."""
    frames = one["audio"][: HOP * one["features"].shape[1]].view(-1, HOP)
    return one["features"][0].float()[frames.square().mean(1).sqrt() > QUIET]


def build_index(vectors: np.ndarray) -> faiss.Index:
    """An IVF-flat index with RVC's number of lists and nprobe 1."""
    lists = min(int(16 * np.sqrt(len(vectors))), len(vectors) // 39)
    index = faiss.index_factory(vectors.shape[1], f"IVF{lists},Flat")
    faiss.extract_index_ivf(index).nprobe = 1
    index.train(vectors)
    index.add(vectors)
    return index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(learn_speaker, work, speaker) for speaker in range(len(TARGETS))]
        learned = [one for job in jobs for one in job.result()]
    torch.save(learned, work / "features.pt")
    vectors = torch.cat([loud_frames(one) for one in learned]).numpy()
    chosen = np.random.default_rng(0).choice(len(vectors), INDEX_VECTORS, replace=False)
    faiss.write_index(build_index(np.ascontiguousarray(vectors[np.sort(chosen)])), str(work / "voice.index"))
    print(f"{len(learned)} utterances, {len(vectors)} frames of speech, {INDEX_VECTORS} of them in the index")


if __name__ == "__main__":
    main()
