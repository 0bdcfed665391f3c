"""Writes the model card: MODEL_CARD.md with the figures of measured.json, and the pictures.

    python demo/training/card.py WORK VOICE

The pictures are of the sample's sentence: source, conversions (from WORK/heard/, so run evaluate.py before) and what
the target speakers themselves make of it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import soundfile
from corpus import read_voice
from evaluate import INDEX_RATES
from package import SAMPLE
from PIL import Image
from pitch import read_f0
from rhyme import CHOICE, RHYMES
from speech import RATE, SOURCE, TARGETS
from torch import nn

from voxc.compiler.families.rvc.checkpoint import load_checkpoint
from voxc.compiler.families.rvc.listening import LISTENS_TO
from voxc.compiler.networks.hubert.directory import read_config
from voxc.compiler.networks.hubert.load import load_encoder

mpl.use("Agg")
from matplotlib import pyplot as plt

FFT, STEP = 512, 80
DEEPEST = -80  # dB
HERE = Path(__file__).parent


def spectrogram(audio: np.ndarray) -> np.ndarray:
    """dB below the loudest: [bins, frames]."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, FFT)[::STEP] * np.hanning(FFT)
    power = np.abs(np.fft.rfft(frames, axis=1).T) ** 2
    return 10 * np.log10(power / power.max() + 1e-12)


def draw(path: Path, rows: list[tuple[str, np.ndarray]]) -> None:
    """Spectrograms below each other, with F0 over them on the axis at the right."""
    figure, axes = plt.subplots(len(rows), 1, figsize=(8, 2.1 * len(rows)), constrained_layout=True)
    for axis, (title, audio) in zip(axes, rows, strict=True):
        extent = (0, len(audio) / RATE, 0, RATE / 2000)
        axis.imshow(
            spectrogram(audio), origin="lower", aspect="auto", extent=extent, vmin=DEEPEST, vmax=0, cmap="magma"
        )
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_ylabel("kHz")
        f0 = read_f0(audio, len(audio) // 160)
        pitch = axis.twinx()
        pitch.plot(np.arange(len(f0)) / 100, np.where(f0 > 0, f0, np.nan), color="cyan", linewidth=1)
        pitch.set_ylim(50, 350)
        pitch.set_ylabel("F0, Hz")
    axes[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=60)
    plt.close(figure)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(48)
    small.save(path, optimize=True)


def voice_and_pitch(measured: dict) -> str:
    """The figures of every speaker at every index rate, as Markdown."""
    lines = [
        "| speaker | index rate | SECS to the speaker | of the source itself | F0 correlation, median sentence "
        "| pooled | pooled, no gross errors | pooled, own ranges | gross errors | gross errors, own ranges "
        "| fine error | voicing error |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, target in measured["targets"].items():
        for rate, found in target["index_rate"].items():
            correlations = " | ".join(
                f"{found[f'f0_correlation_{which}']:.3f}"
                for which in ("median", "pooled", "without_gross", "own_range")
            )
            lines.append(
                f"| {target['speaker']} ({name}) | {rate} | {found['secs']:.3f} | {found['secs_of_source']:.3f} "
                f"| {correlations} | {100 * found['f0_gross_errors']:.2f} % "
                f"| {100 * found['f0_gross_errors_own_range']:.2f} % | {found['f0_fine_error_cents']:.0f} cents "
                f"| {100 * found['voicing_error']:.1f} % |"
            )
    return "\n".join(lines)


def what_is_understood(measured: dict) -> str:
    """The same of words, after recordings that no voice conversion has touched."""
    told = [(f"{measured['source']['voice']} itself, the source", measured["source"])]
    told += [(f"{name} itself", target["original"]) for name, target in measured["targets"].items()]
    told += [
        (f"converted to {target['speaker']} ({name}), index rate {rate}", found)
        for name, target in measured["targets"].items()
        for rate, found in target["index_rate"].items()
    ]
    lines = [
        "| audio | rhyme test | its vowels | its consonants | word choice | word errors | phoneme errors |",
        "|---|---|---|---|---|---|---|",
    ]
    kinds = ("rhyme_test", "rhyme_test_vowels", "rhyme_test_consonants", "word_choice")
    for what, found in told:
        shares = [found[kind] for kind in (*kinds, "word_error_rate", "phoneme_error_rate")]
        lines.append(f"| {what} | " + " | ".join(f"{100 * share:.1f} %" for share in shares) + " |")
    return "\n".join(lines)


def counts(measured: dict) -> dict[str, str]:
    """How many were asked, how sure that makes, and what guessing gives."""
    found, guessed = next(iter(measured["targets"].values()))["index_rate"]["0.5"], measured["other_sentences"]
    return {
        "sentences": str(measured["sentences"]),
        "rhyme_questions": str(found["rhyme_questions"]),
        "word_choices": str(found["word_choices"]),
        "rhyme_doubt": doubt(found["rhyme_test"], RHYMES, found["rhyme_questions"]),
        "choice_doubt": doubt(found["word_choice"], CHOICE, found["word_choices"]),
        "guessed": f"{100 * guessed['rhyme_test']:.1f} % and {100 * guessed['word_choice']:.1f} %",
    }


def doubt(share: float, offered: int, asked: int) -> str:
    """Half of the 95 % interval of a share above chance, from the number of questions alone."""
    right = (share * (offered - 1) + 1) / offered
    return f"{100 * 1.96 * np.sqrt(right * (1 - right) / asked) * offered / (offered - 1):.0f}"


def files(voice: Path) -> str:
    rows = [
        ("voice.pth", "the synthesizer, as RVC writes it, float16"),
        ("content/", "the content encoder, a Hugging Face `HubertModel` directory, float16"),
        ("voice.index", "retrieval: a FAISS IVF-flat index of training features of both speakers"),
        ("speakers/", "what each speaker sounds like: held-out sentences"),
        ("sample.flac", "a held-out sentence of the held-out source, to try the voice on"),
    ]
    return "\n".join(f"| `{name}` | {what} | {size(voice / name) / 1e6:.2f} MB |" for name, what in rows)


def size(path: Path) -> int:
    return sum(part.stat().st_size for part in path.iterdir()) if path.is_dir() else path.stat().st_size


def networks(voice: Path) -> str:
    checkpoint, config = load_checkpoint(voice / "voice.pth"), read_config(voice / "content" / "config.json")
    encoder = load_encoder(voice / "content", LISTENS_TO["v1"])
    synthesizer, sizes = checkpoint.network, checkpoint.config
    return (
        f"| content encoder | {parameters(encoder)} | {config.num_hidden_layers} layers of {config.hidden_size}, "
        f"convolutions of {config.conv_dim[0]} to {config.conv_dim[-1]} channels |\n"
        f"| synthesizer | {parameters(synthesizer)} | prior encoder of {sizes.n_layers} layers of "
        f"{sizes.hidden_channels}, 4 couplings, generator from {sizes.upsample_initial_channel} channels |"
    )


def trained_steps(voice: Path) -> int:
    """From what `synthesizer.write_voice` says about itself."""
    return int(load_checkpoint(voice / "voice.pth").info.split()[-2])


def parameters(network: nn.Module) -> str:
    return f"{sum(tensor.numel() for tensor in network.parameters()) / 1e6:.2f} M"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("voice", type=Path)
    options = parser.parse_args()
    measured = json.loads((options.voice / "measured.json").read_text())
    pictures = HERE.parent / "pictures"
    pictures.mkdir(exist_ok=True)
    said = {name: read_voice(options.work / "held_out" / f"{name}.npz")[SAMPLE].audio for name in (SOURCE, *TARGETS)}
    for name in TARGETS:
        made, _ = soundfile.read(options.work / "heard" / f"{name}_{INDEX_RATES[0]}_{SAMPLE}.wav")
        rows = [
            (f"source: {SOURCE}, not in training", said[SOURCE]),
            (f"converted to {name}, index rate {INDEX_RATES[0]:g}", made),
            (f"{name} itself, same sentence, its own timing", said[name]),
        ]
        draw(pictures / f"{name}.png", rows)
    text = (HERE / "card_template.md").read_text()
    facts = {
        "voice_and_pitch": voice_and_pitch(measured),
        "understood": what_is_understood(measured),
        "steps": f"{trained_steps(options.voice):,}",
        "files": files(options.voice),
        "networks": networks(options.voice),
        **counts(measured),
    }
    for name, fact in facts.items():
        text = text.replace(f"{{{name}}}", fact)
    (HERE.parent / "MODEL_CARD.md").write_text(text)


if __name__ == "__main__":
    main()
