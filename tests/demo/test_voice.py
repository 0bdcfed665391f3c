"""The demo voice as it is shipped: complete, small, loadable, and as good as its card says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open

from voxc.compiler.families.rvc.files import demo_directory, find_voice
from voxc.compiler.families.rvc.listening import LISTENS_TO
from voxc.compiler.families.rvc.voice import load_voice
from voxc.compiler.networks.hubert.load import load_encoder

DEMO = Path(__file__).parents[2] / "demo"
MAX_BYTES = 8_000_000
RATE = 16000
INDEX_BUDGET_MIB = 64.0


def measured() -> dict:
    return json.loads((demo_directory() / "measured.json").read_text())


def facts() -> dict:
    return json.loads((demo_directory() / "voice.json").read_text())


def test_fits_into_a_package():
    assert sum(path.stat().st_size for path in demo_directory().rglob("*") if path.is_file()) <= MAX_BYTES


def test_synthesizer_loads():
    voice = load_voice(find_voice(Path("demo")), INDEX_BUDGET_MIB)
    assert voice.facts["version"] == "v1"
    assert voice.settings["uses_f0"]
    assert (voice.sample_rate, voice.hop, voice.settings["content_features"]) == (RATE, 160, 256)
    assert voice.settings["speakers"] == len(facts()["speakers"]) >= 2


def test_content_encoder_loads_and_hears_50_frames_a_second():
    encoder = load_encoder(demo_directory() / "content", LISTENS_TO["v1"])
    features = encoder(torch.zeros(1, 320 * 25 + 80))
    assert features.shape == (1, 25, 256)


def test_content_encoder_has_the_names_of_hugging_face():
    with safe_open(demo_directory() / "content" / "model.safetensors", "np") as tensors:
        names = set(tensors.keys())
    assert {"final_proj.weight", "final_proj.bias", "encoder.layers.0.attention.q_proj.weight"} <= names
    assert "encoder.pos_conv_embed.conv.parametrizations.weight.original0" in names


def test_index_is_ivf_flat_of_the_features_width():
    faiss = pytest.importorskip("faiss")
    index = faiss.read_index(str(demo_directory() / "voice.index"))
    ivf = faiss.extract_index_ivf(index)
    assert (index.d, ivf.nprobe, index.metric_type) == (256, 1, faiss.METRIC_L2)
    index.make_direct_map()
    assert np.isfinite(index.reconstruct_n(0, index.ntotal)).all()


def test_every_speaker_has_a_reference_and_there_is_a_sample():
    files = find_voice(Path("demo"))
    assert files.sample is not None
    for speaker in facts()["speakers"]:
        audio, rate = soundfile.read(dict(files.speakers)[speaker["number"]])
        assert rate == RATE
        assert 3 < len(audio) / rate < 15
        assert 0.02 < np.sqrt(np.mean(audio**2)) < 0.3


def test_the_figures_meet_what_the_voice_was_made_for():
    for target in measured()["targets"].values():
        found = target["index_rate"]["0.5"]
        assert found["secs"] >= 0.80
        assert found["secs"] - found["secs_of_source"] >= 0.15
        assert found["f0_correlation_median"] >= 0.90
        assert found["f0_correlation_without_gross"] >= 0.90
        assert found["f0_correlation_own_range"] >= 0.90
        assert found["f0_gross_errors"] <= 0.03


def test_sounds_and_words_are_told_from_their_like():
    """Far above chance, which is 0 at most, and below the originals, as the card says."""
    told = measured()
    assert max(told["other_sentences"]["rhyme_test"], told["other_sentences"]["word_choice"]) <= 0.05
    for target in told["targets"].values():
        found = target["index_rate"]["0.5"]
        assert 0.5 <= found["rhyme_test"] <= told["source"]["rhyme_test"]
        assert 0.6 <= found["word_choice"] <= told["source"]["word_choice"]


@pytest.mark.xfail(strict=True, reason="octave errors in either contour; see the card")
def test_f0_correlation_pooled_over_all_sentences():
    for target in measured()["targets"].values():
        assert target["index_rate"]["0.5"]["f0_correlation_pooled"] >= 0.90


def test_the_card_tells_what_was_measured():
    card = (DEMO / "MODEL_CARD.md").read_text()
    told = measured()
    for name, target in told["targets"].items():
        speaker = f"{target['speaker']} ({name})"
        for rate, found in target["index_rate"].items():
            voice = row(card, f"| {speaker} | {rate} |")
            for figure in ("secs", "f0_correlation_median", "f0_correlation_pooled", "f0_correlation_own_range"):
                assert f"| {found[figure]:.3f} |" in voice
            understood = row(card, f"| converted to {speaker}, index rate {rate} |")
            for figure in ("rhyme_test", "word_choice", "word_error_rate", "phoneme_error_rate"):
                assert f"| {100 * found[figure]:.1f} % |" in understood
    assert f"| {100 * told['source']['word_error_rate']:.1f} % |" in row(card, "| ked_diphone itself")


def row(card: str, beginning: str) -> str:
    return next(line for line in card.splitlines() if line.startswith(beginning))
