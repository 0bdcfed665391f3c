"""What a family of models is: it recognises files, and reads them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, JsonValue

if TYPE_CHECKING:  # the command line asks families for their options alone
    from voxc.compiler.core.axis import Sizes
    from voxc.compiler.core.tensor import TensorSpec
    from voxc.compiler.families.chain import Chain
    from voxc.compiler.families.model import Model


#: Of an option that families share.
CONTENT_LAYER = "The content encoder's layer that is listened to. (default: 12; of v1 voices 9; else the last)"


class FamilyOptions(BaseModel):
    """What a family has to be told about its files. Its fields become options of the command line, with their
    descriptions as help."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Family(ABC):
    """Models that are read alike. Imports no torch before `load`.

    Attributes:
        name: what `--family` and manifests call it.
        reads: its files, for people.
        suffixes: of files that are its own if no family recognises them; its messages are the best there are.
    """

    name: ClassVar[str]
    reads: ClassVar[str]
    suffixes: ClassVar[frozenset[str]] = frozenset()
    Options: ClassVar[type[FamilyOptions]] = FamilyOptions

    @abstractmethod
    def recognise(self, source: Path) -> bool:
        """Whether a file or a directory is one of its own, by what is in it."""

    @abstractmethod
    def load(self, source: Path, options: Any, sizes: Sizes) -> Model:
        """The model in `source`; `options` are of the family's own class, `sizes` the requested lengths of axes that
        are not time.

        Raises:
            CheckpointError: it cannot be read, or is not what the family takes.
            RecipeError: the options do not fit it.
        """

    def chain(
        self, settings: Mapping[str, JsonValue], inputs: Mapping[str, Sequence[TensorSpec]], frames: int
    ) -> Chain[Any] | None:
        """The chain of a bundle, by the settings of its model and the inputs of its components, for segments of
        `frames`; None for models without one."""
        return None
