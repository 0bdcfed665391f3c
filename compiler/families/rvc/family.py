"""RVC: voices as RVC's tools save them, with a content encoder and an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, JsonValue

from voxc.compiler.core.archive import names_in
from voxc.compiler.families.base import CONTENT_LAYER, Family, FamilyOptions
from voxc.compiler.families.rvc.files import CHECKPOINT_SUFFIXES, DEFAULT_INDEX_BUDGET, DEMO, checkpoints, find_voice

if TYPE_CHECKING:
    from voxc.compiler.core.axis import Sizes
    from voxc.compiler.core.tensor import TensorSpec
    from voxc.compiler.families.chain import Chain
    from voxc.compiler.families.model import Model

PICKLE = b"\x80"  # how torch.save began a file before it wrote archives


class RvcOptions(FamilyOptions):
    content: Path | None = Field(
        None,
        description="HuBERT or ContentVec: hubert_base.pt, or a Hugging Face directory. (default: MODEL/content or "
        "MODEL/hubert_base.pt)",
    )
    content_layer: int | None = Field(None, description=CONTENT_LAYER)
    index: Path | None = Field(None, description="The voice's index, as RVC writes it. (default: MODEL/*.index)")
    f0: str | None = Field(
        None, description="The F0 network: rmvpe, its file, or pm for none. (default: MODEL/rmvpe.pt if it is there)"
    )
    config: Path | None = Field(
        None, description="For G_*.pth: the settings of its training. (default: config.json beside it)"
    )
    index_budget: float = Field(
        DEFAULT_INDEX_BUDGET, description="MiB that the index may take; a larger one is compressed."
    )


class RvcFamily(Family):
    name: ClassVar[str] = "rvc"
    reads: ClassVar[str] = "a voice as RVC saves it (.pth), or a directory with one and its index and encoder"
    suffixes: ClassVar[frozenset[str]] = frozenset(CHECKPOINT_SUFFIXES)
    Options: ClassVar[type[FamilyOptions]] = RvcOptions

    def recognise(self, source: Path) -> bool:
        if source.is_dir() and checkpoints(source):
            return True
        return source == DEMO or (source.is_file() and is_checkpoint(source))

    def load(self, source: Path, options: Any, sizes: Sizes) -> Model:
        from voxc.compiler.families.rvc.voice import load_voice

        files = find_voice(source, options.content, options.index, options.f0, options.config)
        return load_voice(files, options.index_budget, options.content_layer)

    def chain(
        self, settings: Mapping[str, JsonValue], inputs: Mapping[str, Sequence[TensorSpec]], frames: int
    ) -> Chain[Any]:
        from voxc.compiler.families.rvc.chain import RvcChain
        from voxc.compiler.families.rvc.settings import RvcSettings

        return RvcChain.of(RvcSettings.model_validate(settings), inputs.get(RvcChain.last, ()), frames)


def is_checkpoint(file: Path) -> bool:
    """Whether torch.save wrote a file."""
    if any(name.count("/") == 1 and name.endswith("/data.pkl") for name in names_in(file)):
        return True
    try:
        with file.open("rb") as stream:
            return stream.read(len(PICKLE)) == PICKLE
    except OSError:
        return False
