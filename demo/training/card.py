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
from speech import RATE, SOURCE, TARGETS
from torch import nn

from voxc.compiler.content.directory import load_encoder, read_config
from voxc.compiler.families.rvc.checkpoint import load_checkpoint

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


def table(measured: dict) -> str:
    """The figures of every speaker at every index rate, as Markdown."""
    lines = [
        "| speaker | index rate | SECS to the speaker | of the source itself | F0 correlation, median sentence "
        "| pooled | F0 gross errors | voicing error | word errors | phoneme errors |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, target in measured["targets"].items():
        for rate, found in target["index_rate"].items():
            lines.append(
                f"| {target['speaker']} ({name}) | {rate} | {found['secs']:.3f} | {found['secs_of_source']:.3f} "
                f"| {found['f0_correlation_median']:.3f} | {found['f0_correlation_pooled']:.3f} "
                f"| {100 * found['f0_gross_errors']:.1f} % | {100 * found['voicing_error']:.1f} % "
                f"| {100 * found['word_error_rate']:.1f} % | {100 * found['phoneme_error_rate']:.1f} % |"
            )
    return "\n".join(lines)


def originals(measured: dict) -> str:
    """Errors on recordings that no voice conversion has touched."""
    told = [(f"{measured['source']['voice']} (the source)", measured["source"])]
    told += [(name, target["original"]) for name, target in measured["targets"].items()]
    return ", ".join(
        f"{name} {100 * found['word_error_rate']:.1f} % and {100 * found['phoneme_error_rate']:.1f} %"
        for name, found in told
    )


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
    encoder = load_encoder(voice / "content", "v1")
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
    text = text.replace("{table}", table(measured)).replace("{originals}", originals(measured))
    text = text.replace("{steps}", f"{trained_steps(options.voice):,}")
    text = text.replace("{files}", files(options.voice)).replace("{networks}", networks(options.voice))
    (HERE.parent / "MODEL_CARD.md").write_text(text.replace("{sentences}", str(measured["sentences"])))


if __name__ == "__main__":
    main()
