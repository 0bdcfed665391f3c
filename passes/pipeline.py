"""Which passes run, in which order. This is the only place that says so."""

from __future__ import annotations

from voxc.compiler.core.target import Target
from voxc.passes.attention.chunk_attention import ChunkAttention
from voxc.passes.attention.fold_heads import FoldHeads
from voxc.passes.base import Pass
from voxc.passes.layout.ane_layout import AneLayout
from voxc.passes.layout.channels_last import ChannelsLast
from voxc.passes.layout.fold_flips import FoldFlips
from voxc.passes.layout.fold_time_into_rows import FoldTimeIntoRows
from voxc.passes.layout.fold_width import FoldWidth
from voxc.passes.layout.planar_convolutions import PlanarConvolutions
from voxc.passes.layout.sub_pixel_upsampling import SubPixelUpsampling
from voxc.passes.simplify.clean_up import CleanUp
from voxc.passes.simplify.drop_full_masks import DropFullMasks
from voxc.passes.simplify.fold_weight_norm import FoldWeightNorm
from voxc.passes.simplify.share_equal_nodes import ShareEqualNodes
from voxc.passes.source.frame_rate_source_phase import FrameRateSourcePhase
from voxc.passes.source.hoist_noise import HoistNoise
from voxc.passes.source.sums_as_products import SumsAsProducts

ORDER: tuple[Pass, ...] = (
    HoistNoise(),
    FoldWeightNorm(),
    DropFullMasks(),
    FoldFlips(),
    FrameRateSourcePhase(),
    FoldTimeIntoRows(),
    CleanUp(),
    SumsAsProducts(),
    ShareEqualNodes(),
    PlanarConvolutions(),
    ChannelsLast(),
    AneLayout(),
    ChunkAttention(),
    FoldWidth(),
    FoldHeads(),
    SubPixelUpsampling(),
)


def pipeline(target: Target) -> tuple[Pass, ...]:
    """The passes that have something to do for a target, in order."""
    return tuple(each for each in ORDER if each.applies(target))
