"""A bundle in a Python program: arrays in, arrays out. `voxc.open` is how programs come by it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from voxc.compiler.bundle import Bundle
from voxc.compiler.core.errors import BundleError, RecipeError
from voxc.compiler.runtime.conversion import convert_audio
from voxc.compiler.runtime.pipeline import Pipeline, load_pipeline


@dataclass(frozen=True, eq=False)
class Converted:
    """What a conversion gives.

    Attributes:
        samples: float32 [n], mono, full scale 1.
        rate: in Hz, the voice's own.
        warnings: what people should know, as that the recording is silent.
    """

    samples: NDArray[np.float32]
    rate: int
    warnings: tuple[str, ...] = ()


class Voice:
    """A bundle whose networks are loaded. Converts one recording at a time; `close`, or the end of a `with` block,
    frees the memory that they take."""

    def __init__(self, bundle: Bundle, pipeline: Pipeline) -> None:
        self.bundle = bundle
        self.pipeline: Pipeline | None = pipeline
        self.rate = pipeline.chain.sample_rate

    @classmethod
    def open(cls, path: Path, threads: int | None = None) -> Self:
        """See `voxc.open`."""
        bundle = Bundle.open(path)
        return cls(bundle, load_pipeline(bundle, threads))

    def convert(
        self,
        samples: NDArray[np.floating[Any]],
        rate: int,
        *,
        speaker: int | None = None,
        transpose: float | None = None,
        index_rate: float | None = None,
        protect: float | None = None,
        rms_mix: float | None = None,
        f0: str | None = None,
        seed: int | None = None,
    ) -> Converted:
        """The voice says what a recording says.

        Options that are left out are those of the voice's family; the defaults below are RVC's. Equal arguments give
        equal samples. Longer recordings take more time, and room in the directory for temporary files, but no more
        memory than their samples.

        Args:
            samples: floats, [n] or [n, channels], full scale 1; channels are averaged.
            rate: of the samples, 4,000 to 768,000 Hz.
            speaker: which of the voice's speakers, from 0. (default: 0)
            transpose: semitones up, -36 to 36. (default: 0)
            index_rate: how far to follow the index, 0 to 1. (default: 0.75)
            protect: how far to follow it in unvoiced sounds, 0 to 0.5; 0.5 as far as elsewhere. (default: 0.33)
            rms_mix: whose loudness, from 0 (the recording's) to 1 (the voice's own). (default: 0.25)
            f0: the F0 estimator, a network of the voice such as "rmvpe", or "pm". (default: a network if there is one)
            seed: of the synthesizer's noise. (default: 0)

        Raises:
            AudioError: the samples are no recording: empty, of another type or shape, not finite.
            RecipeError: an option is out of range, or the voice has no such option.
            QualityError: the networks gave something that is not a finite number.
            OutputError: there is no room for temporary files.
            BundleError: the voice is closed.
        """
        if self.pipeline is None:
            raise BundleError(f"{self.bundle.directory}: is closed; open it again")
        requested = {
            "speaker": speaker, "transpose": transpose, "index_rate": index_rate, "protect": protect,
            "rms_mix": rms_mix, "seed": seed,
        }  # fmt: skip
        options = options_of(self.pipeline.chain.Options, requested)
        result, report = convert_audio(np.asarray(samples), rate, self.pipeline, options)
        return Converted(result, self.rate, report.warnings)

    def close(self) -> None:
        """Frees the networks. A closed voice converts nothing."""
        self.pipeline = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def options_of(kind: type[Any], requested: dict[str, Any]) -> Any:
    """`requested` as the options of a family, those that are None left out.

    Raises:
        RecipeError: it has no such option, or one is out of range.
    """
    present = {name: value for name, value in requested.items() if value is not None}
    known = [field.name for field in fields(kind)]
    for name in present:
        if name not in known:
            raise RecipeError(f"{name}: this voice has no such option; it has {', '.join(known)}")
    return kind(**present)
