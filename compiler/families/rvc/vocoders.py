"""The vocoders that voices have, by the names that Applio gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import nn

from voxc.compiler.families.rvc.config import HIFI_GAN, MRF, REFINE_GAN, RvcConfig
from voxc.compiler.families.rvc.generator import hifi_gan
from voxc.compiler.families.rvc.mrf import MrfGenerator
from voxc.compiler.families.rvc.refinegan import RefineGenerator

VOCODERS: Mapping[str, Callable[[RvcConfig], nn.Module]] = {
    HIFI_GAN: hifi_gan,
    MRF: MrfGenerator,
    REFINE_GAN: RefineGenerator,
}
#: Beginnings of names of tensors that only one of them has.
MARKS = {"dec.mrfs.": MRF, "dec.upsample_conv_blocks.": REFINE_GAN}


def vocoder_of(names: Iterable[str]) -> str:
    """The vocoder with tensors of these names; HiFi-GAN if there is nothing that speaks for another."""
    return next((vocoder for name in names for mark, vocoder in MARKS.items() if name.startswith(mark)), HIFI_GAN)
