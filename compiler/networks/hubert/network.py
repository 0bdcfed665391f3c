"""HuBERT (Hsu et al., 2021) up to the layer that a voice listens to, written for inference, training and export.

Parameter names are those of Hugging Face's `HubertModel`, so that its files and ContentVec's load as they are.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

HOP = 320  # samples from one frame to the next
WINDOW = 400  # samples that a frame sees before the transformer
VARIANCE_FLOOR = 1e-7

# Bounds are far beyond any encoder; they keep a hostile file from asking for a billion layers.
Width = Annotated[int, Field(ge=1, le=1 << 13)]
Kernels = Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 10)], ...], Field(min_length=1, max_length=16)]


class HubertConfig(BaseModel):
    """The values of a `HubertModel`'s config.json that shape inference, under its own names."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    hidden_size: Width = 768
    num_hidden_layers: Annotated[int, Field(ge=1, le=128)] = 12
    num_attention_heads: Annotated[int, Field(ge=1, le=256)] = 12
    intermediate_size: Annotated[int, Field(ge=1, le=1 << 15)] = 3072
    hidden_act: Literal["gelu"] = "gelu"
    feat_extract_activation: Literal["gelu"] = "gelu"
    feat_extract_norm: Literal["group"] = "group"
    conv_dim: Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)] = (512,) * 7
    conv_kernel: Kernels = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: Kernels = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    feat_proj_layer_norm: bool = True
    num_conv_pos_embeddings: Annotated[int, Field(ge=1, le=1 << 10)] = 128
    num_conv_pos_embedding_groups: Width = 16
    conv_pos_batch_norm: Literal[False] = False
    do_stable_layer_norm: Literal[False] = False
    layer_norm_eps: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    classifier_proj_size: Width = 256

    @model_validator(mode="after")
    def dimensions_agree(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"{self.num_attention_heads} heads do not divide {self.hidden_size} hidden channels")
        if self.hidden_size % self.num_conv_pos_embedding_groups:
            raise ValueError(
                f"{self.num_conv_pos_embedding_groups} groups do not divide {self.hidden_size} hidden channels"
            )
        if not len(self.conv_dim) == len(self.conv_kernel) == len(self.conv_stride):
            raise ValueError("conv_dim, conv_kernel and conv_stride differ in length")
        window = 1
        for kernel, stride in zip(reversed(self.conv_kernel), reversed(self.conv_stride), strict=True):
            window = (window - 1) * stride + kernel
        if math.prod(self.conv_stride) != HOP or window != WINDOW:
            raise ValueError(
                f"frames of {window} samples every {math.prod(self.conv_stride)}, not {WINDOW} every {HOP}"
            )
        return self


class HubertEncoder(nn.Module):
    """Audio to content features: the hidden states after `layers` layers, through `final_proj` where `project`.

    `normalize` brings the audio to zero mean and unit variance first, for encoders that were trained so. `width` is
    the number of features.
    """

    def __init__(self, config: HubertConfig, layers: int, project: bool, normalize: bool = False) -> None:
        super().__init__()
        self.normalize = normalize
        self.feature_extractor = FeatureExtractor(config)
        self.feature_projection = FeatureProjection(config)
        self.encoder = Encoder(config, layers)
        self.width = config.classifier_proj_size if project else config.hidden_size
        if project:
            self.final_proj = nn.Linear(config.hidden_size, config.classifier_proj_size)

    def forward(self, audio: Tensor) -> Tensor:
        """audio: [B, samples] float32 at 16 kHz -> features [B, T, C], frame n from samples 320 n to 320 n + 399."""
        if self.normalize:
            centred = audio - audio.mean(dim=1, keepdim=True)
            audio = centred / torch.sqrt(torch.mean(centred * centred, dim=1, keepdim=True) + VARIANCE_FLOOR)
        hidden: Tensor = self.encoder(self.feature_projection(self.feature_extractor(audio)))
        return self.final_proj(hidden) if hasattr(self, "final_proj") else hidden


class FeatureExtractor(nn.Module):
    """Strided convolutions: [B, samples] -> [B, T, channels]."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        widths = (1, *config.conv_dim)
        shapes = zip(widths, config.conv_dim, config.conv_kernel, config.conv_stride, strict=False)
        self.conv_layers = nn.ModuleList(
            ConvLayer(*shape, bias=config.conv_bias, normed=number == 0) for number, shape in enumerate(shapes)
        )

    def forward(self, audio: Tensor) -> Tensor:
        x = audio.unsqueeze(1)
        for layer in self.conv_layers:
            x = layer(x)
        return x.transpose(1, 2)


class ConvLayer(nn.Module):
    """Convolution and GELU; the first layer normalises each channel over the whole segment between them."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int, *, bias: bool, normed: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, width, kernel, stride, bias=bias)
        if normed:
            self.layer_norm = nn.GroupNorm(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.gelu(self.layer_norm(x) if hasattr(self, "layer_norm") else x)


class FeatureProjection(nn.Module):
    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        width = config.conv_dim[-1]
        self.layer_norm = nn.LayerNorm(width, config.layer_norm_eps) if config.feat_proj_layer_norm else nn.Identity()
        self.projection = nn.Linear(width, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.layer_norm(x))


class Encoder(nn.Module):
    """Post-norm transformer over [B, T, hidden], with positions from a wide grouped convolution."""

    def __init__(self, config: HubertConfig, layers: int) -> None:
        super().__init__()
        self.pos_conv_embed = PositionalEmbedding(config)
        self.layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x + self.pos_conv_embed(x))
        for layer in self.layers:
            x = layer(x)
        return x


class PositionalEmbedding(nn.Module):
    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        kernel = config.num_conv_pos_embeddings
        self.conv = TapNormConv1d(
            config.hidden_size,
            config.hidden_size,
            kernel,
            padding=kernel // 2,
            groups=config.num_conv_pos_embedding_groups,
        )
        self.surplus = 1 - kernel % 2  # an even kernel gives one frame too many

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        positions = self.conv(x.transpose(1, 2))
        return F.gelu(positions[:, :, :length] if self.surplus else positions).transpose(1, 2)


class TapNormConv1d(nn.Conv1d):
    """`nn.Conv1d` under weight norm with one magnitude for each tap of the kernel."""

    def __init__(self, *args: int, **kwargs: int) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        weight = self.weight.detach()
        del self.weight
        self.weight_g = nn.Parameter(torch.linalg.vector_norm(weight, dim=(0, 1), keepdim=True))
        self.weight_v = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(self.weight_v, dim=(0, 1), keepdim=True)
        return self._conv_forward(x, self.weight_v * (self.weight_g / norm), self.bias)


class EncoderLayer(nn.Module):
    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.attention = Attention(config.hidden_size, config.num_attention_heads)
        self.layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.feed_forward = FeedForward(config.hidden_size, config.intermediate_size)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x + self.attention(x))
        return self.final_layer_norm(x + self.feed_forward(x))


class Attention(nn.Module):
    """Multi-head self-attention on [B, T, hidden]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_width = width // heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        query, key, value = (
            projection(x).view(batch, length, self.heads, self.head_width).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = torch.matmul(query * self.head_width**-0.5, key.transpose(-2, -1))
        attended = torch.matmul(torch.softmax(scores, dim=-1), value)
        return self.out_proj(attended.transpose(1, 2).reshape(batch, length, width))


class FeedForward(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(width, inner)
        self.output_dense = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_dense(F.gelu(self.intermediate_dense(x)))
