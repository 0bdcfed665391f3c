"""Trains the synthesizer to say what the features say, as the speakers whose features they are; writes an RVC voice.

    python demo/training/synthesizer.py WORK

The way is that of inference (prior encoder, noise, flow reversed, harmonic generator) from end to end, so there is no
posterior encoder. What is made has to have the spectra of the original, has to sound to the content encoder as the
original does, and later has to deceive discriminators. Continues from WORK/synthesizer.pt.
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import torch
from discriminator import Discriminators
from losses import deceive_loss, feature_loss, judge_loss, spectral_loss
from parallel import average_gradients, run_workers, share_weights
from speech import TARGETS
from torch import Tensor, nn
from torch.nn import functional as F

from voxc.compiler.families.rvc.config import RvcConfig, parse_config
from voxc.compiler.families.rvc.contour import coarse_pitch
from voxc.compiler.families.rvc.listening import LISTENS_TO
from voxc.compiler.families.rvc.synthesizer import PRIOR_TEMPERATURE, Synthesizer, full_mask
from voxc.compiler.networks.hubert.load import load_encoder

# The 18 values of RvcConfig's FIELDS, in their order.
CONFIG = [
    513, 32, 64, 64, 256, 2, 3, 3, 0, "1", [3, 7], [[1, 3, 5], [1, 3, 5]], [10, 4, 2, 2], 128, [20, 8, 4, 4],
    len(TARGETS), 64, 16000,
]  # fmt: skip
HOP = 160
CONTEXT, SEGMENT, BATCH = 128, 40, 6  # frames that the encoder sees, frames that are made sound, utterances a worker
STEPS, ADVERSARIAL_FROM, WORKERS = 7700, 1500, 2
FIRST_RATE, LAST_RATE, JUDGE_RATE = 1e-3, 2e-4, 3e-4
STEADY = 0.998  # decay of the averaged weights
SAVE_EVERY = 100
QUIET_START = -2.0  # log deviation of the prior at the start
SPECTRAL, CONTENT = 4.0, 20.0  # weights of the losses beside the adversarial ones
SOURCE_GAIN = 5.0  # of the harmonic source before its tanh; left to training, it went to zero and the pitch with it


@dataclass(frozen=True)
class Batch:
    phone: Tensor  # [B, CONTEXT, 256]
    pitch: Tensor  # [B, CONTEXT]
    f0: Tensor  # [B, CONTEXT] Hz
    sid: Tensor  # [B]
    audio: Tensor  # [B, CONTEXT * HOP]


class Lessons:
    """Draws crops of the target speakers' utterances, the features disguised, retrieved and blurred at random."""

    def __init__(self, work: Path, seed: int) -> None:
        self.said = torch.load(work / "features.pt")
        index = faiss.read_index(str(work / "voice.index"))
        index.make_direct_map()
        self.bank = torch.from_numpy(index.reconstruct_n(0, index.ntotal))
        self.chance = np.random.default_rng(seed)
        self.weights = np.array([len(one["f0"]) for one in self.said], dtype=float)
        self.weights /= self.weights.sum()

    def draw(self) -> Batch:
        chosen = self.chance.choice(len(self.said), BATCH, p=self.weights)
        phone, f0, audio = zip(*(self.crop(self.said[number]) for number in chosen), strict=True)
        contour = torch.stack(f0)
        speakers = torch.tensor([self.said[number]["speaker"] for number in chosen])
        pitch = torch.from_numpy(coarse_pitch(contour.numpy()))
        return Batch(torch.stack(phone), pitch, contour, speakers, torch.stack(audio))

    def crop(self, one: dict) -> tuple[Tensor, Tensor, Tensor]:
        start = int(self.chance.integers(0, max(1, len(one["f0"]) // 2 - CONTEXT // 2)))
        version = 0 if self.chance.random() < 0.4 else self.chance.integers(1, len(one["features"]))
        features = one["features"][version, start : start + CONTEXT // 2].float()
        if self.chance.random() < 0.5:
            features = torch.lerp(features, self.retrieve(features), float(self.chance.random()))
        features = features + torch.randn_like(features) * self.chance.uniform(0, 0.25)
        phone = features.repeat_interleave(2, dim=0)
        f0 = one["f0"][2 * start : 2 * start + CONTEXT]
        audio = one["audio"][2 * start * HOP : (2 * start + CONTEXT) * HOP]
        missing = CONTEXT - len(f0)
        f0 = F.pad(f0[None], (0, missing), mode="replicate")[0] if missing else f0
        return F.pad(phone, (0, 0, 0, CONTEXT - len(phone))), f0, F.pad(audio, (0, CONTEXT * HOP - len(audio)))

    def retrieve(self, features: Tensor) -> Tensor:
        """RVC's blend of the 8 nearest vectors: [T, 256] -> [T, 256]."""
        scores, found = torch.cdist(features, self.bank).square().topk(8, largest=False)
        weights = scores.clamp(min=1e-6) ** -2
        return ((weights / weights.sum(1, keepdim=True))[..., None] * self.bank[found]).sum(1)


def new_network() -> Synthesizer:
    network = Synthesizer(rvc_config())
    with torch.no_grad():
        network.enc_p.proj.bias[network.enc_p.inter_channels :] = QUIET_START
        for coupling in network.flow.flows.values():
            nn.init.zeros_(coupling.post.weight)
            nn.init.zeros_(coupling.post.bias)
    source = network.dec.m_source.l_linear.requires_grad_(False)
    nn.init.constant_(source.weight, SOURCE_GAIN)
    nn.init.zeros_(source.bias)
    return network


def rvc_config() -> RvcConfig:
    return parse_config(CONFIG, speakers=len(TARGETS), version="v1", f0=1, path="CONFIG")


def say(network: Synthesizer, batch: Batch, begins: list[int]) -> Tensor:
    """As `Synthesizer.synthesize`, but only SEGMENT frames of each latent are made sound: [B, SEGMENT * HOP]."""
    speaker = network.emb_g(batch.sid).unsqueeze(-1)
    mask = full_mask(batch.phone)
    mean, log_scale = network.enc_p(batch.phone, batch.pitch, mask)
    latent = network.flow(mean + torch.exp(log_scale) * torch.randn_like(mean) * PRIOR_TEMPERATURE, mask, speaker)
    cropped = torch.stack([one[:, begin : begin + SEGMENT] for one, begin in zip(latent, begins, strict=True)])
    f0 = torch.stack([one[begin : begin + SEGMENT] for one, begin in zip(batch.f0, begins, strict=True)])
    return network.dec(cropped, speaker, f0).squeeze(1)


class Training:
    """The network, its average, the discriminators and their optimizers."""

    def __init__(self, work: Path, rank: int) -> None:
        self.path = work / "synthesizer.pt"
        self.network, self.judges = new_network(), Discriminators()
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.learner = torch.optim.AdamW(self.network.parameters(), FIRST_RATE, betas=(0.8, 0.99))
        self.judge_learner = torch.optim.AdamW(self.judges.parameters(), JUDGE_RATE, betas=(0.8, 0.99))
        self.step = 0
        if self.path.exists():
            stored = torch.load(self.path)
            self.step = stored.pop("step")
            for name, state in stored.items():
                getattr(self, name).load_state_dict(state)
        for module in (self.network, self.judges, self.average):
            share_weights(module)
        self.lessons = Lessons(work, seed=1000 * self.step + rank)
        self.listener = load_encoder(work / "content", LISTENS_TO["v1"]).requires_grad_(False)

    def save(self) -> None:
        names = ("network", "average", "judges", "learner", "judge_learner")
        torch.save({"step": self.step, **{name: getattr(self, name).state_dict() for name in names}}, self.path)
        write_voice(self.average, self.step, self.path.parent / "voice.pth")

    def advance(self) -> dict[str, float]:
        """One step of the discriminators, where they take part, and one of the network."""
        for group in self.learner.param_groups:
            group["lr"] = FIRST_RATE * (LAST_RATE / FIRST_RATE) ** (self.step / STEPS) * min(1, (self.step + 1) / 100)
        batch = self.lessons.draw()
        begins = [int(begin) for begin in self.lessons.chance.integers(0, CONTEXT - SEGMENT + 1, BATCH)]
        pieces = [one[HOP * begin : HOP * (begin + SEGMENT)] for one, begin in zip(batch.audio, begins, strict=True)]
        real, made = torch.stack(pieces), say(self.network, batch, begins)
        told: dict[str, float] = {}
        spectral = spectral_loss(made, real)
        misheard = F.mse_loss(self.listener(made), self.listener(real))
        told |= {"spectral": spectral.item(), "misheard": misheard.item()}
        loss = SPECTRAL * spectral + CONTENT * misheard
        if self.step >= ADVERSARIAL_FROM:
            told["judges"] = self.judge(real, made.detach())
            verdicts, inside = self.judges(made[:, None])
            with torch.no_grad():
                _, expected = self.judges(real[:, None])
            deceived, alike = deceive_loss(verdicts), feature_loss(expected, inside)
            told |= {"deceived": deceived.item(), "alike": alike.item()}
            loss = loss + deceived + alike
        self.learner.zero_grad()
        loss.backward()
        average_gradients(self.network.parameters(), 10.0)
        self.learner.step()
        self.step += 1
        decay = min(STEADY, self.step / (self.step + 10))
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now.detach(), 1 - decay)
        return told

    def judge(self, real: Tensor, made: Tensor) -> float:
        loss = judge_loss(self.judges(real[:, None])[0], self.judges(made[:, None])[0])
        self.judge_learner.zero_grad()
        loss.backward()
        average_gradients(self.judges.parameters(), 10.0)
        self.judge_learner.step()
        return loss.item()


def write_voice(network: Synthesizer, step: int, path: Path) -> None:
    """A checkpoint as RVC writes it: float16 under the reference's names."""
    weight = {name: tensor.detach().to(torch.float16) for name, tensor in network.state_dict().items()}
    facts = {"info": f"voxc demo voice, {step} steps", "sr": "16k", "f0": 1, "version": "v1"}
    torch.save({"weight": weight, "config": CONFIG, **facts}, path)


def train(rank: int, work: Path) -> None:
    training = Training(work, rank)
    began, sums = time.monotonic(), {}
    while training.step < STEPS:
        for name, value in training.advance().items():
            sums.setdefault(name, []).append(value)
        if rank == 0 and training.step % 50 == 0:
            told = " ".join(f"{name} {np.mean(values):.3f}" for name, values in sums.items())
            print(f"{training.step} {time.monotonic() - began:.0f} s {told}", flush=True)
            sums = {}
        if rank == 0 and training.step % SAVE_EVERY == 0:
            training.save()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    run_workers(train, parser.parse_args().work, WORKERS)
