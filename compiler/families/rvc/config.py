"""The 18 values that an RVC checkpoint keeps under `config`, by name and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from voxc.compiler.core.errors import CheckpointError

# The order of the reference's constructor.
FIELDS = (
    "spec_channels", "segment_size", "inter_channels", "hidden_channels", "filter_channels", "n_heads", "n_layers",
    "kernel_size", "p_dropout", "resblock", "resblock_kernel_sizes", "resblock_dilation_sizes", "upsample_rates",
    "upsample_initial_channel", "upsample_kernel_sizes", "spk_embed_dim", "gin_channels", "sample_rate",
)  # fmt: skip
CONTENT_FEATURES = {"v1": 256, "v2": 768}
HIFI_GAN, MRF, REFINE_GAN = "HiFi-GAN", "MRF HiFi-GAN", "RefineGAN"
REFINE_SPEAKER = 256  # the only width that a speaker of RefineGAN has
RATE_NAMES = {"24k": 24000, "32k": 32000, "40k": 40000, "48k": 48000}

# Bounds are far beyond any voice; they keep a hostile file from asking for a billion layers.
Width = Annotated[int, Field(ge=1, le=1 << 14)]
Kernel = Annotated[int, Field(ge=1, le=1 << 10)]


class RvcConfig(BaseModel):
    """Dimensions of a voice under the reference's names; `f0`, `version` and `speakers` come from beside the list."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    inter_channels: Annotated[int, Field(ge=2, le=1 << 14, multiple_of=2)]
    hidden_channels: Width
    filter_channels: Width
    n_heads: Annotated[int, Field(ge=1, le=256)]
    n_layers: Annotated[int, Field(ge=1, le=256)]
    kernel_size: Kernel
    resblock: Annotated[Literal["1", "2"], BeforeValidator(str)]
    resblock_kernel_sizes: Annotated[tuple[Kernel, ...], Field(min_length=1, max_length=16)]
    resblock_dilation_sizes: tuple[Annotated[tuple[Kernel, ...], Field(min_length=1, max_length=16)], ...]
    upsample_rates: Annotated[tuple[Annotated[int, Field(ge=1, le=1 << 10)], ...], Field(min_length=1, max_length=16)]
    upsample_initial_channel: Width
    upsample_kernel_sizes: tuple[Kernel, ...]
    gin_channels: Width
    sample_rate: Annotated[int, BeforeValidator(lambda rate: RATE_NAMES.get(rate, rate)), Field(ge=1, le=1 << 20)]
    speakers: Annotated[int, Field(ge=1, le=1 << 20)]
    version: Literal["v1", "v2"]
    f0: bool
    vocoder: Literal["HiFi-GAN", "MRF HiFi-GAN", "RefineGAN"] = "HiFi-GAN"

    @model_validator(mode="after")
    def dimensions_agree(self) -> Self:
        """What the reference's constructor or its first forward would stumble over."""
        if self.hidden_channels % self.n_heads:
            raise ValueError(f"{self.n_heads} heads do not divide {self.hidden_channels} hidden channels")
        if len(self.resblock_dilation_sizes) != len(self.resblock_kernel_sizes):
            raise ValueError("resblock_dilation_sizes and resblock_kernel_sizes differ in length")
        if len(self.upsample_kernel_sizes) != len(self.upsample_rates):
            raise ValueError("upsample_kernel_sizes and upsample_rates differ in length")
        if any(kernel % 2 == 0 for kernel in self.resblock_kernel_sizes):
            raise ValueError("an even resblock kernel does not keep the length")
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ValueError(f"an upsampling kernel of {kernel} does not upsample by {rate} exactly")
        if self.upsample_initial_channel >> len(self.upsample_rates) == 0:
            raise ValueError(
                f"{self.upsample_initial_channel} channels cannot be halved {len(self.upsample_rates)} times"
            )
        if self.f0 and any(math.prod(self.upsample_rates[stage:]) % 2 for stage in range(1, len(self.upsample_rates))):
            raise ValueError("the harmonic source cannot be brought down to a stage whose remaining upsampling is odd")
        if self.vocoder != HIFI_GAN and not self.f0:
            raise ValueError(f"{self.vocoder} has a source at F0, and this voice was trained without")
        if self.vocoder == REFINE_GAN and (self.gin_channels != REFINE_SPEAKER or len(self.upsample_rates) > 6):
            raise ValueError(f"{REFINE_GAN} has speakers of {REFINE_SPEAKER} channels and at most 6 steps")
        return self

    @property
    def content_features(self) -> int:
        return CONTENT_FEATURES[self.version]

    @property
    def hop(self) -> int:
        """Samples of audio for each frame."""
        return math.prod(self.upsample_rates)


def parse_config(
    values: Any, *, speakers: int, version: Any, f0: Any, path: object, vocoder: str = HIFI_GAN
) -> RvcConfig:
    """The checkpoint's list of 18 values, or a mapping with their names, as an RvcConfig.

    The reference takes the number of speakers from the embedding and not from the list; so do we.

    Raises:
        CheckpointError: a value is missing or impossible.
    """
    if isinstance(values, Mapping):
        values = [values[name] for name in (*FIELDS[:-1], "sr" if "sr" in values else FIELDS[-1]) if name in values]
    if not isinstance(values, list | tuple) or len(values) != len(FIELDS):
        told = f"{len(values)} values" if isinstance(values, list | tuple) else type(values).__name__
        raise CheckpointError(f"{path}: 'config' must hold the {len(FIELDS)} values that RVC writes, not {told}")
    try:
        fields = dict(zip(FIELDS, values, strict=True))
        beside = {"speakers": speakers, "version": version, "f0": f0, "vocoder": vocoder}
        return RvcConfig.model_validate({**fields, **beside})
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"])
        raise CheckpointError(f"{path}: config{' ' + where if where else ''}: {detail['msg']}") from error
