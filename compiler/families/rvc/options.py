"""What a conversion by RVC can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from voxc.compiler.core.errors import RecipeError
from voxc.compiler.families.chain import MAX_TRANSPOSE

AUTO = "auto"
MAX_SEED = (1 << 64) - 1


@dataclass(frozen=True)
class ConvertOptions:
    """How to convert; the defaults and meanings are RVC's.

    Attributes:
        speaker: which of the voice's speakers.
        transpose: semitones up.
        index_rate: share of the features that come from the index, 0 to 1.
        protect: share of that in unvoiced sounds, 0 to 0.5; 0.5 is none less than elsewhere.
        rms_mix: share of the loudness that stays the result's own, 0 (the source's contour) to 1.
        f0: the F0 estimator: a network of the voice, or `pm`, an autocorrelation; `auto` is a network if there is one.
        seed: of the synthesizer's noise.
    """

    speaker: int = 0
    transpose: float = 0.0
    index_rate: float = 0.75
    protect: float = 0.33
    rms_mix: float = 0.25
    f0: str = AUTO
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "speaker": (0, float("inf")),
            "transpose": (-MAX_TRANSPOSE, MAX_TRANSPOSE),
            "index_rate": (0, 1),
            "protect": (0, 0.5),
            "rms_mix": (0, 1),
            "seed": (0, MAX_SEED),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise RecipeError(f"{name} {value}: give a value {span(least, most)}")


def span(least: float, most: float) -> str:
    return f"of {least} or more" if most == float("inf") else f"from {least} to {most}"
