"""Networks that are no voices: programs of torch.export, ONNX files, and Python functions that give a module."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from voxc.compiler.families.base import Family, FamilyOptions

if TYPE_CHECKING:
    from voxc.compiler.core.axis import Sizes
    from voxc.compiler.families.generic.network import Network
    from voxc.compiler.families.model import Model

COMPONENT = "network"
ONNX_SUFFIX, PT2_SUFFIX = ".onnx", ".pt2"


class NetworkOptions(FamilyOptions):
    inputs: Path | None = Field(
        None, description="NPZ with the inputs to compare by. (default: drawn by their shapes and types)"
    )


class GenericFamily(Family):
    name: ClassVar[str] = "generic"
    reads: ClassVar[str] = "a network that torch.export (.pt2) or an ONNX exporter (.onnx) has written"
    suffixes: ClassVar[frozenset[str]] = frozenset({ONNX_SUFFIX, PT2_SUFFIX})
    Options: ClassVar[type[FamilyOptions]] = NetworkOptions

    def recognise(self, source: Path) -> bool:
        if not source.is_file():
            return False
        from voxc.compiler.families.generic.pt2 import is_pt2

        return source.suffix.lower() == ONNX_SUFFIX or is_pt2(source)

    def load(self, source: Path, options: Any, sizes: Sizes) -> Model:
        if source.suffix.lower() == ONNX_SUFFIX:
            from voxc.compiler.families.generic.onnx.reader import read_onnx

            network = read_onnx(source, sizes)
        else:
            from voxc.compiler.families.generic.pt2 import read_pt2

            network = read_pt2(source, sizes)
        return model_of(self.name, network, {"checkpoint": source}, options.inputs, sizes)


class TorchFamily(Family):
    name: ClassVar[str] = "torch"
    reads: ClassVar[str] = "a Python function, package.module:function, with --family torch"
    Options: ClassVar[type[FamilyOptions]] = NetworkOptions

    def recognise(self, source: Path) -> bool:
        """Never: code runs only because the user has named the family."""
        return False

    def load(self, source: Path, options: Any, sizes: Sizes) -> Model:
        from voxc.compiler.families.generic.factory import read_factory

        return model_of(self.name, read_factory(str(source)), {}, options.inputs, {})


def model_of(family: str, network: Network, files: dict[str, Path], inputs: Path | None, sizes: Sizes) -> Model:
    """A network as a model of one component.

    Raises:
        TensorError: the user's inputs do not fit it.
    """
    from voxc.compiler.core.component import Component
    from voxc.compiler.families.generic.reference import Given, drawn, read_inputs
    from voxc.compiler.families.model import Model

    reference = partial(drawn, network.inputs) if inputs is None else Given(read_inputs(inputs, network.inputs))
    component = Component(COMPONENT, network.module, network.inputs, (), network.outputs, reference, axes=())
    compared = "random inputs" if inputs is None else inputs.name
    warnings = {f"warning {place}": text for place, text in enumerate(network.warnings, start=1)}
    return Model(
        family,
        (component,),
        files,
        depends=() if inputs is None else (inputs,),
        sizes=sizes,
        facts={**network.facts, "compared by": compared, **warnings},
    )
