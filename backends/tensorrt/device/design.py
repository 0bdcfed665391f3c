"""What an engine is built of."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

#: Files of a kit, behind the stem of the ONNX file: the engine, where and of what it was built, the precisions of its
#: layers, and scales.
ENGINE, IDENTITY, RECIPE, CACHE = ".engine", ".engine.json", ".precisions.json", ".cache"


class Design:
    """What an engine is built of.

    An ONNX file; a recipe, which has the precisions of layers and the shapes for open axes; a `cache` with scales for
    int8 that is not in the file itself; and weights that are `packed` beside it, which are unpacked below the directory
    `scratch`.
    """

    def __init__(
        self, onnx: Path, recipe: Dict[str, Any], cache: Optional[bytes] = None, packed: Optional[Path] = None,
        scratch: Optional[Path] = None,
    ) -> None:  # fmt: skip
        self.onnx, self.cache, self.packed = onnx, cache, packed
        self.scratch = scratch or onnx.parent
        self.default: str = recipe.get("default", "fp32")
        self.layers: Dict[str, str] = recipe.get("layers", {})
        self.tf32: bool = recipe.get("tf32", False)
        self.profiles: Dict[str, Dict[str, Sequence[int]]] = recipe.get("profiles", {})

    @property
    def arithmetics(self) -> List[str]:
        return sorted({self.default, *self.layers.values()})

    def arithmetic(self, layer: str) -> str:
        """The precision of a layer, whose name is that of its ONNX node, or that followed by `_` and a number."""
        base, _, number = layer.rpartition("_")
        return self.layers.get(layer, self.layers.get(base, self.default) if number.isdigit() else self.default)
