"""RVC's synthesizer (VITS with content features in the place of text), written for inference and export.

Module and parameter names are those of RVC's checkpoints. The two Gaussian draws stay where the reference has them; the
pass `hoist_noise` turns them into inputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voxc.compiler.families.rvc.attention import Encoder
from voxc.compiler.families.rvc.config import RvcConfig
from voxc.compiler.families.rvc.flow import CouplingFlow
from voxc.compiler.families.rvc.generator import SLOPE
from voxc.compiler.families.rvc.vocoders import VOCODERS

PITCH_BINS = 256
PRIOR_TEMPERATURE = 0.66666


class Synthesizer(nn.Module):
    """Content features, pitch and speaker to audio, with F0; see `forward`."""

    def __init__(self, config: RvcConfig) -> None:
        super().__init__()
        self.enc_p = PriorEncoder(config)
        self.flow = CouplingFlow(config.inter_channels, config.hidden_channels, config.gin_channels)
        self.dec = VOCODERS[config.vocoder](config)
        self.emb_g = nn.Embedding(config.speakers, config.gin_channels)

    def forward(self, phone: Tensor, pitch: Tensor, nsff0: Tensor, sid: Tensor) -> Tensor:
        """Synthesizes one segment.

        Args:
            phone: [B, T, C] float32, content features at 100 frames a second.
            pitch: [B, T] int, F0 on RVC's mel scale, 1 (unvoiced) to 255.
            nsff0: [B, T] float32, F0 in Hz, 0 where unvoiced.
            sid: [B] int, speaker.

        Returns:
            audio [B, 1, T * hop] float32 in [-1, 1].
        """
        return self.synthesize(phone, pitch, nsff0, sid)

    def synthesize(self, phone: Tensor, pitch: Tensor | None, nsff0: Tensor | None, sid: Tensor) -> Tensor:
        speaker = self.emb_g(sid).unsqueeze(-1)
        mask = full_mask(phone)
        mean, log_scale = self.enc_p(phone, pitch, mask)
        prior = (mean + torch.exp(log_scale) * torch.randn_like(mean) * PRIOR_TEMPERATURE) * mask
        latent = self.flow(prior, mask, speaker)
        audio: Tensor = self.dec(latent * mask, speaker, nsff0)
        return audio


class SynthesizerNoF0(Synthesizer):
    """The variant trained without pitch guidance."""

    def forward(self, phone: Tensor, sid: Tensor) -> Tensor:  # type: ignore[override]
        """phone: [B, T, C] float32; sid: [B] int -> audio [B, 1, T * hop]."""
        return self.synthesize(phone, None, None, sid)


class PriorEncoder(nn.Module):
    """Content features and pitch to the mean and log deviation of the prior latent: both [B, inter, T]."""

    def __init__(self, config: RvcConfig) -> None:
        super().__init__()
        self.scale = math.sqrt(config.hidden_channels)
        self.inter_channels = config.inter_channels
        self.emb_phone = nn.Linear(config.content_features, config.hidden_channels)
        if config.f0:
            self.emb_pitch = nn.Embedding(PITCH_BINS, config.hidden_channels)
        self.encoder = Encoder(
            config.hidden_channels, config.filter_channels, config.n_heads, config.n_layers, config.kernel_size
        )
        self.proj = nn.Conv1d(config.hidden_channels, 2 * config.inter_channels, 1)

    def forward(self, phone: Tensor, pitch: Tensor | None, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = self.emb_phone(phone)
        if pitch is not None:
            x = x + self.emb_pitch(pitch)
        x = F.leaky_relu(x * self.scale, SLOPE).transpose(1, 2)
        stats = self.proj(self.encoder(x * mask, mask)) * mask
        mean, log_scale = torch.split(stats, self.inter_channels, 1)
        return mean, log_scale


def full_mask(phone: Tensor) -> Tensor:
    """The reference's mask of valid frames when every frame is valid: [B, 1, T] of ones.

    Spelled as the reference computes it, so that the eager baseline pays what RVC pays; `drop_full_masks` proves that
    it is full.
    """
    batch, length, _ = phone.shape
    lengths = torch.full((batch,), length, dtype=torch.long)
    valid = torch.arange(length).unsqueeze(0) < lengths.unsqueeze(1)
    return valid.unsqueeze(1).to(phone.dtype)
