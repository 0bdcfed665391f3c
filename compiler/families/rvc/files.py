"""Where the files of a voice are: given one by one, side by side in a directory, or bundled under the name `demo`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from voxc.compiler.audio.pitch import DEFAULT
from voxc.compiler.audio.suffixes import is_recording, recordings_in
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.rvc.training import CONFIG_NAME
from voxc.compiler.networks.hubert.layout import model_place, roles, settings_files, weight_files

DEMO = Path("demo")
CHECKPOINT_SUFFIXES = (".pth", ".pt")
#: How the content encoder is called that RVC's tools bring.
ENCODER_NAMES = ("hubert_base.pt", "checkpoint_best_legacy_500.pt")
RMVPE, RMVPE_NAME = "rmvpe", "rmvpe.pt"
INDEX_SUFFIX = ".index"
CONTENT_NAME = "content"
SAMPLE_STEM = "sample"
SPEAKERS_NAME = "speakers"
DEFAULT_INDEX_BUDGET = 32.0  # MiB


@dataclass(frozen=True)
class VoiceFiles:
    """A checkpoint, and what there is beside it.

    `content` is a Hugging Face directory or a checkpoint of fairseq, `index` a FAISS file. `sample` is a recording to
    try the voice on, and `speakers` are recordings of the voice's own speakers by their number. `rmvpe` is an F0
    network, `config` the settings of the training of a voice that is in training.
    """

    checkpoint: Path
    content: Path | None = None
    index: Path | None = None
    sample: Path | None = None
    speakers: tuple[tuple[int, Path], ...] = ()
    rmvpe: Path | None = None
    config: Path | None = None

    def depends(self) -> tuple[Path, ...]:
        """Files beside them that say how they are read."""
        content = () if self.content is None else settings_files(self.content)
        return content if self.config is None else (*content, self.config)

    def digested(self) -> dict[str, Path]:
        """The files that make the voice what it is, by their role."""
        found = {"checkpoint": self.checkpoint}
        if self.content is not None:
            found |= roles("content", weight_files(self.content))
        if self.index is not None:
            found["index"] = self.index
        if self.rmvpe is not None:
            found["rmvpe"] = self.rmvpe
        return found


def find_voice(
    model: Path,
    content: Path | None = None,
    index: Path | None = None,
    f0: str | None = None,
    config: Path | None = None,
) -> VoiceFiles:
    """The files of `model`: a checkpoint, a directory with one in it, or `demo`; `content`, `index` and `config` go
    before what is found there. `f0` is the name of an F0 network, or its file.

    Raises:
        CheckpointError: there is no such file, or a directory without a checkpoint or with several.
    """
    place = demo_directory() if model == DEMO and not (model.is_file() or checkpoints(model)) else model
    if not place.exists():
        raise CheckpointError(f"{place}: no such file")
    if content is not None and not content.exists():
        raise CheckpointError(
            f"--content {content}: no such file or directory; give hubert_base.pt, or the directory of a HuBERT"
        )
    found = in_directory(place) if place.is_dir() else VoiceFiles(place)
    encoder = content or found.content
    beside = found.checkpoint.parent / CONFIG_NAME
    return replace(
        found,
        content=encoder and model_place(encoder),
        index=index or found.index,
        rmvpe=f0_network(place, f0),
        config=config or (beside if beside.is_file() else None),
    )


def f0_network(model: Path, f0: str | None) -> Path | None:
    """The file of the F0 network: what `f0` names, or one beside the voice.

    Raises:
        CheckpointError: it is not there.
    """
    beside = (model if model.is_dir() else model.parent) / RMVPE_NAME
    if f0 is None:
        return beside if model.is_dir() and beside.is_file() else None
    if f0 == DEFAULT:
        return None
    if f0 != RMVPE:
        if not Path(f0).is_file():
            raise CheckpointError(f"--f0 {f0}: no such file; give {RMVPE_NAME}, or {DEFAULT} for none")
        return Path(f0)
    if not beside.is_file():
        raise CheckpointError(f"--f0 {RMVPE}: there is no {beside}; give its file: --f0 PATH/{RMVPE_NAME}")
    return beside


def demo_directory() -> Path:
    """The voice that comes with voxc."""
    return Path(str(files("voxc.demo"))) / "voice"


def demo_sample() -> Path:
    """The recording that comes with it, for voices that have none of their own."""
    return demo_directory() / f"{SAMPLE_STEM}.flac"


def in_directory(directory: Path) -> VoiceFiles:
    checkpoint = only(checkpoints(directory), "checkpoint (.pth)")
    if checkpoint is None:
        raise CheckpointError(f"{directory}: a directory without a checkpoint (.pth)")
    folder = directory / CONTENT_NAME
    encoders = [directory / name for name in ENCODER_NAMES]
    speakers = directory / SPEAKERS_NAME
    recordings = recordings_in(speakers) if speakers.is_dir() else []
    return VoiceFiles(
        checkpoint,
        content=folder if folder.is_dir() else only(encoders, "content encoder"),
        index=only(shown(directory, f"*{INDEX_SUFFIX}"), f"index ({INDEX_SUFFIX})"),
        sample=only(filter(is_recording, directory.glob(f"{SAMPLE_STEM}.*")), "sample"),
        speakers=tuple((int(path.stem), path) for path in recordings if path.stem.isdecimal()),
    )


def checkpoints(directory: Path) -> list[Path]:
    """The files that may be voices. RVC's tools name these `.pth`, and the other networks beside them `.pt`."""
    by_suffix = [[*shown(directory, f"*{suffix}")] for suffix in CHECKPOINT_SUFFIXES]
    voices = next((paths for paths in by_suffix if paths), [])
    return [path for path in voices if path.name not in (*ENCODER_NAMES, RMVPE_NAME)]


def shown(directory: Path, pattern: str) -> list[Path]:
    """The files of a directory that are not hidden: `._NAME` is what macOS keeps about NAME."""
    return [path for path in directory.glob(pattern) if not path.name.startswith(".")]


def only(found: Iterable[Path], what: str) -> Path | None:
    files = sorted(path for path in found if path.is_file())
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise CheckpointError(f"{files[0].parent}: more than one {what}: {names}; give the files one by one")
    return files[0] if files else None
