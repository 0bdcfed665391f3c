"""Trains the content encoder to name phonemes, whoever speaks; writes it as a Hugging Face HubertModel directory.

    python demo/training/content.py WORK

The 256 features are a fixed rotation of 32 that a linear classifier reads phonemes from, through noise, while an
adversary tries to read the voice from them: little room for anything but what is said.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from corpus import EDGE, HOP, Utterance, read_corpus
from parallel import average_gradients, run_workers, share_weights
from phonemes import PHONEMES
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from voxc.compiler.networks.hubert.network import HubertConfig, HubertEncoder

CONFIG = HubertConfig(
    hidden_size=144, num_hidden_layers=4, num_attention_heads=4, intermediate_size=448,
    conv_dim=(64, 96, 96, 96, 128, 128, 128), num_conv_pos_embeddings=32, num_conv_pos_embedding_groups=8,
    classifier_proj_size=256,
)  # fmt: skip
INNER = 32  # rank of the features
FEATURE_NOISE = 0.5
ADVERSARY = 0.15
FRAMES, BATCH, STEPS, WARMUP, PEAK_RATE = 100, 12, 2000, 150, 1.5e-3
WORKERS = 2
CHECK_EVERY = 200
HELD_BACK = 12  # utterances of each voice at its end, for the accuracy
HUGGING_FACE = {
    "conv.weight_g": "conv.parametrizations.weight.original0",
    "conv.weight_v": "conv.parametrizations.weight.original1",
}


class ContentTrainer(nn.Module):
    """The encoder up to its hidden states, the narrow projection, and the two readers of it."""

    def __init__(self, voices: int) -> None:
        super().__init__()
        self.encoder = HubertEncoder(CONFIG, CONFIG.num_hidden_layers, project=False)
        self.narrow = nn.Linear(CONFIG.hidden_size, INNER)
        self.phonemes = nn.Linear(INNER, len(PHONEMES))
        self.adversary = nn.Sequential(
            nn.Conv1d(INNER, 96, 5, padding=2), nn.GELU(), nn.Conv1d(96, 96, 5, padding=2), nn.GELU(),
            nn.Conv1d(96, voices, 1),
        )  # fmt: skip

    def forward(self, audio: Tensor, noise: float, reversal: float) -> tuple[Tensor, Tensor, Tensor]:
        """audio [B, samples] -> phoneme scores [B, 40, T], voice scores [B, voices, T], features [B, T, 32]."""
        features = self.narrow(self.encoder(audio)).float()
        noisy = features + noise * torch.randn_like(features)
        reversed_ = noisy.detach() * (1 + reversal) - noisy * reversal  # forward: itself; backward: -reversal
        return self.phonemes(noisy).transpose(1, 2), self.adversary(reversed_.transpose(1, 2)), features


def draw_batch(said: list[Utterance], voices: dict[str, int], chance: np.random.Generator) -> tuple[Tensor, ...]:
    """Random crops, resampled (pitch, formants and pace together), equalised and noisy: audio, phonemes, voices."""
    audio, labels, speakers = [], [], []
    samples = HOP * FRAMES + EDGE
    middles = HOP * np.arange(FRAMES) + (HOP + EDGE) // 2
    for index in chance.integers(len(said), size=BATCH):
        one = said[index]
        ratio = math.exp(chance.uniform(-0.28, 0.28)) if chance.random() < 0.8 else 1.0
        start = chance.integers(-HOP * 10, max(1, len(one.audio) - int(0.7 * samples * ratio)))
        where = start + ratio * np.arange(samples)
        audio.append(np.interp(where, np.arange(len(one.audio)), one.audio, left=0, right=0))
        frames = np.floor((start + ratio * middles) / HOP).astype(int)
        inside = (frames >= 0) & (frames < len(one.labels))
        labels.append(np.where(inside, one.labels[frames.clip(0, len(one.labels) - 1)], 0))
        speakers.append(voices[one.voice])
    clean = torch.from_numpy(np.stack(audio)).float()
    return disturb(clean, chance), torch.from_numpy(np.stack(labels)).long(), torch.tensor(speakers)


def disturb(audio: Tensor, chance: np.random.Generator) -> Tensor:
    """A smooth random equaliser of +-10 dB and white to brown noise, 8 to 45 dB below the speech."""
    spectrum = torch.fft.rfft(audio)
    count, bins = spectrum.shape
    points = torch.from_numpy(chance.uniform(-10, 10, (count, 1, 8))).float()
    spectrum = spectrum * 10 ** (F.interpolate(points, bins, mode="linear", align_corners=True)[:, 0] / 20)
    tilt = torch.linspace(1e-2, 1, bins) ** -torch.from_numpy(chance.uniform(0, 1, (count, 1))).float()
    noise = torch.fft.irfft(torch.fft.rfft(torch.randn_like(audio)) * tilt, audio.shape[1])
    audio = torch.fft.irfft(spectrum, audio.shape[1])
    level = 10 ** (-torch.from_numpy(chance.uniform(8, 45, (count, 1))).float() / 20)
    noise = noise * level * audio.std(1, keepdim=True) / noise.std(1, keepdim=True)
    return audio + noise


def accuracy(trainer: ContentTrainer, checked: list[Utterance]) -> dict[str, float]:
    """Share of frames whose phoneme is named, for each voice."""
    right: dict[str, list[float]] = {}
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for one in checked:
            scores, _, _ = trainer(torch.from_numpy(one.audio)[None], 0.0, 0.0)
            right.setdefault(one.voice, []).append(float((scores[0].argmax(0).numpy() == one.labels).mean()))
    return {voice: round(float(np.mean(found)), 3) for voice, found in right.items()}


def train(rank: int, work: Path) -> None:
    corpus = read_corpus(work / "train")
    voices = {voice: number for number, voice in enumerate(sorted({one.voice for one in corpus}))}
    by_voice = {voice: [one for one in corpus if one.voice == voice] for voice in voices}
    said = [one for group in by_voice.values() for one in group[:-HELD_BACK]]
    checked = [one for group in by_voice.values() for one in group[-2:]] + read_corpus(work / "held_out")
    trainer = ContentTrainer(len(voices))
    share_weights(trainer)
    optimizer = torch.optim.AdamW(trainer.parameters(), PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    chance = np.random.default_rng(rank)
    began = time.monotonic()
    for step in range(STEPS):
        progress = step / STEPS
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * min((step + 1) / WARMUP, 0.5 * (1 + math.cos(math.pi * progress)) + 1e-3)
        audio, phonemes, speakers = draw_batch(said, voices, chance)
        with torch.autocast("cpu", torch.bfloat16):
            scores, guesses, features = trainer(audio, FEATURE_NOISE, min(1.0, 2 * progress))
        named = F.cross_entropy(scores.float(), phonemes, label_smoothing=0.05)
        betrayed = F.cross_entropy(guesses.float(), speakers[:, None].expand(-1, FRAMES))
        loss = named + ADVERSARY * betrayed + 0.01 * features.square().mean()
        optimizer.zero_grad()
        loss.backward()
        average_gradients(trainer.parameters(), 2.0)
        optimizer.step()
        if rank == 0 and step % 50 == 0:
            told = f"phonemes {named:.3f} voices {betrayed:.3f} of {math.log(len(voices)):.2f}"
            print(f"{step} {time.monotonic() - began:.0f} s {told} spread {features.std():.2f}", flush=True)
        if rank == 0 and step % CHECK_EVERY == CHECK_EVERY - 1:
            found = accuracy(trainer, checked if step + 1 == STEPS else checked[::4] + checked[-60::5])
            print(f"{step} accuracy {found}", flush=True)
            save_encoder(trainer, checked[-20:], work / "content")


def save_encoder(trainer: ContentTrainer, heard: list[Utterance], directory: Path) -> None:
    """The directory, in float16; `final_proj` is the narrow projection, rotated, at unit variance on the whole."""
    with torch.no_grad():
        features = torch.cat([trainer(torch.from_numpy(one.audio)[None], 0.0, 0.0)[2][0] for one in heard])
    rotation, _ = torch.linalg.qr(torch.randn(256, INNER, generator=torch.Generator().manual_seed(0)))
    rotation = rotation * math.sqrt(256 / features.var(0).sum().item())
    state = dict(trainer.encoder.state_dict())
    state["final_proj.weight"] = rotation @ trainer.narrow.weight.detach()
    state["final_proj.bias"] = rotation @ trainer.narrow.bias.detach()
    tensors = {}
    for name, tensor in state.items():
        for ours, theirs in HUGGING_FACE.items():
            name = name.replace(ours, theirs)
        tensors[name] = tensor.to(torch.float16).contiguous()
    directory.mkdir(parents=True, exist_ok=True)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    config = {"architectures": ["HubertModel"], "model_type": "hubert", **CONFIG.model_dump(mode="json")}
    extra = {"num_feat_extract_layers": len(CONFIG.conv_dim), "torch_dtype": "float16"}
    (directory / "config.json").write_text(json.dumps({**config, **extra}, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    run_workers(train, parser.parse_args().work, WORKERS)
