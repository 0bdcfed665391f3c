"""Which passes run, in which order. This is the only place that says so."""

from __future__ import annotations

from functools import cache

from voxc.compiler.core.errors import PluginError
from voxc.compiler.core.plugins import Plugins
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
from voxc.passes.simplify.fold_batch_norms import FoldBatchNorms
from voxc.passes.simplify.fold_weight_norm import FoldWeightNorm
from voxc.passes.simplify.share_equal_nodes import ShareEqualNodes
from voxc.passes.simplify.unroll_recurrent import UnrollRecurrent
from voxc.passes.source.frame_rate_source_phase import FrameRateSourcePhase
from voxc.passes.source.hoist_noise import HoistNoise
from voxc.passes.source.sums_as_products import SumsAsProducts

ORDER: tuple[Pass, ...] = (
    HoistNoise(),
    FoldWeightNorm(),
    FoldBatchNorms(),
    DropFullMasks(),
    FoldFlips(),
    FrameRateSourcePhase(),
    UnrollRecurrent(),
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


PLUGINS: Plugins[Pass] = Plugins("voxc.passes", Pass)  # type: ignore[type-abstract]


def pipeline(target: Target) -> tuple[Pass, ...]:
    """The passes that have something to do for a target, in order.

    Raises:
        PluginError: a pass of a plug-in cannot be loaded or placed.
    """
    return tuple(each for each in order() if each.applies(target))


@cache
def order() -> tuple[Pass, ...]:
    """All passes, those of plug-ins where they say they belong."""
    passes = ORDER
    for name in PLUGINS:
        passes = placed(PLUGINS[name], passes)
    return passes


def placed(new: Pass, passes: tuple[Pass, ...]) -> tuple[Pass, ...]:
    """`passes` with another one, right behind those that it comes `after`, or else right before those that it comes
    `before`; at the end if it names none.

    Raises:
        PluginError: it names a pass that is not there, or no place suits it.
    """
    places = {each.name: place for place, each in enumerate(passes)}
    for name in (*new.after, *new.before):
        if name not in places:
            raise PluginError(
                f"pass {new.name}: there is no pass {name!r} to be placed by; there are {', '.join(places)}"
            )
    first = max((places[name] + 1 for name in new.after), default=0)
    last = min((places[name] for name in new.before), default=len(passes))
    if first > last:
        raise PluginError(
            f"pass {new.name}: nothing is after {', '.join(new.after)} and before {', '.join(new.before)}"
        )
    place = first if new.after else last
    return (*passes[:place], new, *passes[place:])
