"""One network of a voice as a model of its own, for people who have a pipeline of their own around it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from voxc.compiler.core.archive import start_of
from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.core.json_file import read_json
from voxc.compiler.families.base import CONTENT_LAYER, Family, FamilyOptions

if TYPE_CHECKING:
    from voxc.compiler.core.axis import Sizes
    from voxc.compiler.families.model import Model

RECORD = "data.pkl"  # where torch.save keeps the names of tensors


class PartOptions(FamilyOptions):
    content_layer: int | None = Field(None, description=CONTENT_LAYER)
    final_proj: bool = Field(
        False, description="A content encoder's features through final_proj, as voices of version 1 want them."
    )


class PartFamily(Family):
    name: ClassVar[str] = "part"
    reads: ClassVar[str] = "one network of a voice, such as hubert_base.pt, the directory of a HuBERT, or rmvpe.pt"
    Options: ClassVar[type[FamilyOptions]] = PartOptions

    def recognise(self, source: Path) -> bool:
        return kind_of(source) is not None

    def load(self, source: Path, options: Any, sizes: Sizes) -> Model:
        from voxc.compiler.families.part.load import LOADERS

        kind = kind_of(source)
        if kind is None:
            raise CheckpointError(f"{source}: not a network that voxc knows by itself; it reads {self.reads}")
        return LOADERS[kind](source, options)


#: Names of tensors that only one kind of network has, as they lie in a file.
TENSORS = {
    b"post_extract_proj.weight": "hubert",
    b"feature_projection.projection.weight": "hubert",
    b"unet.encoder.bn.weight": "rmvpe",
}


def kind_of(source: Path) -> str | None:
    """What kind of network a place holds, by the names of its tensors; no file is read whole, and nothing is loaded."""
    from voxc.compiler.networks.hubert.layout import CONFIG_NAME

    if source.is_dir():
        try:
            kind = read_json(source / CONFIG_NAME).get("model_type")
        except CheckpointError:
            return None
        return kind if kind in TENSORS.values() else None
    names = start_of(source, f"/{RECORD}")
    return next((kind for tensor, kind in TENSORS.items() if tensor in names), None)
