from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.compiler.runtime.standins import Listener, Whistler, whistling
from voxc.compiler.audio.scratch import Scratch
from voxc.compiler.audio.sound import SoundArray
from voxc.compiler.audio.stopwatch import Stopwatch
from voxc.compiler.audio.windows import Window
from voxc.compiler.core.errors import QualityError, RecipeError
from voxc.compiler.core.runner import Held, Runner
from voxc.compiler.families.chain import Conditions
from voxc.compiler.families.rvc.analysis import RvcState
from voxc.compiler.families.rvc.chain import RvcChain
from voxc.compiler.families.rvc.contour import Contour
from voxc.compiler.families.rvc.options import ConvertOptions
from voxc.compiler.runtime.pipeline import Pipeline

VOICED = np.arange(400) % 50 < 30
CONTOUR = Contour.of(np.where(VOICED, 200.0, 0.0), -100, transpose=0)
RAMP = np.arange(48_000, dtype=np.float32) / 48_000


def run(pipeline: Pipeline, options: ConvertOptions | None = None, start: int = 40) -> np.ndarray:
    chain = pipeline.chain
    assert isinstance(chain, RvcChain)
    with Scratch(None) as audio:
        audio.append(RAMP)
        window = Window(start, start + 24, start + chain.frames - 24)
        source = SoundArray(RAMP, 16000)
        conditions = Conditions(source, options or ConvertOptions(), audio, Stopwatch(), lambda *done: None)
        state = RvcState(0, 3.0, [window], contour=CONTOUR if chain.settings.uses_f0 else None)
        return chain.window(state, window, conditions, pipeline.runners)


def test_every_network_gets_its_frames() -> None:
    pipeline = whistling()
    audio = run(pipeline, ConvertOptions(speaker=1))
    content, synthesizer = pipeline.runners["content"], pipeline.runners["synthesizer"]
    np.testing.assert_array_equal(content.heard[0], RAMP[160 * 40 :][: 160 * 100 + 80])
    (given,) = synthesizer.given
    described = {name: (array.dtype.name, array.shape) for name, array in given.items()}
    assert described == {
        "phone": ("float32", (1, 100, 4)),
        "pitch": ("int64", (1, 100)),
        "nsff0": ("float32", (1, 100)),
        "sid": ("int64", (1,)),
        "prior_noise": ("float32", (1, 4, 100)),
        "source_noise": ("float32", (1, 4000, 1)),
    }
    assert given["sid"] == 1
    assert (given["phone"][:, ::2] == given["phone"][:, 1::2]).all()
    assert (audio.dtype, audio.shape) == (np.float32, (4000,))


def test_a_voice_without_f0_gets_none() -> None:
    pipeline = whistling(uses_f0=False, retrieval=True)
    run(pipeline)
    assert set(pipeline.runners["synthesizer"].given[0]) == {"phone", "sid", "prior_noise", "source_noise"}
    np.testing.assert_allclose(pipeline.runners["retrieval"].blends[0], 0.75)


@pytest.mark.parametrize(
    ("options", "voiced", "unvoiced"),
    [
        (ConvertOptions(index_rate=0.8, protect=0.25), 0.8, 0.2),
        (ConvertOptions(index_rate=0.8, protect=0.0), 0.8, 0),
        (ConvertOptions(index_rate=0.8, protect=0.5), 0.8, 0.8),
    ],
)
def test_protect_blends_less_where_it_was_unvoiced(options: ConvertOptions, voiced: float, unvoiced: float) -> None:
    pipeline = whistling(retrieval=True)
    run(pipeline, options)
    (blend,) = pipeline.runners["retrieval"].blends
    assert (blend.dtype, blend.shape) == (np.float32, (1, 100))
    np.testing.assert_allclose(blend[0], np.where(VOICED[140:240], voiced, unvoiced))


def test_no_index_rate_no_retrieval() -> None:
    pipeline = whistling(retrieval=True)
    plain = run(whistling())
    np.testing.assert_array_equal(run(pipeline, ConvertOptions(index_rate=0)), plain)
    assert not pipeline.runners["retrieval"].blends


@dataclasses.dataclass
class Far:
    """A tensor that says when it is looked at."""

    array: np.ndarray
    fetched: list[tuple[int, ...]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        self.fetched.append(self.array.shape)
        return self.array


@dataclasses.dataclass
class Distant(Runner):
    """A runner whose outputs stay where they are."""

    near: Runner
    fetched: list[tuple[int, ...]]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        raise AssertionError("everything goes through here")

    def hand_on(self, inputs: Mapping[str, np.ndarray | Held]) -> dict[str, Held]:
        seen = {name: value.array if isinstance(value, Far) else np.asarray(value) for name, value in inputs.items()}
        return {name: Far(array, self.fetched) for name, array in self.near.run(seen).items()}


@pytest.mark.parametrize("retrieval", [True, False])
def test_tensors_stay_where_they_are_between_networks(retrieval: bool) -> None:
    """Only the audio is looked at; without a retrieval also the features, which are repeated."""
    near, fetched = whistling(retrieval=retrieval), list[tuple[int, ...]]()
    far = dataclasses.replace(near, runners={name: Distant(each, fetched) for name, each in near.runners.items()})
    np.testing.assert_array_equal(run(far), run(near))
    assert fetched == [*([] if retrieval else [(1, 50, 4)]), (1, 1, 4000)]


def test_values_that_are_not_numbers_are_reported() -> None:
    class Broken(Runner):
        def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"audio": np.full((1, 1, 4000), np.nan, np.float32)}

    pipeline = dataclasses.replace(whistling(), runners={"content": Listener(), "synthesizer": Broken()})
    with pytest.raises(QualityError, match=r"not numbers at 0\.64 s"):
        run(pipeline)


def test_voices_that_cannot_convert() -> None:
    chain, runners = whistling().chain, whistling().runners
    assert isinstance(chain, RvcChain)
    odd = chain.settings.model_copy(update={"hop": 41})
    complaints: list[tuple[RvcChain, Mapping[str, Runner], str]] = [
        (chain, {"synthesizer": Whistler()}, "needs a content component"),
        (chain, {}, "needs a content and a synthesizer component"),
        (dataclasses.replace(chain, frames=101), runners, "even number"),
        (dataclasses.replace(chain, frames=8), runners, "16 or more"),
        (dataclasses.replace(chain, settings=odd), runners, "100 frames a second"),
    ]
    for changed, present, complaint in complaints:
        with pytest.raises(RecipeError, match=complaint):
            Pipeline(changed, present)
    with pytest.raises(RecipeError, match="speaker 2: the voice has speakers 0 to 1"):
        chain.check_options(ConvertOptions(speaker=2))
