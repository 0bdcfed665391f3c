"""What each layer of an engine is to compute in: the plan, by the names that TensorRT's parser gives its layers.

The file stands beside the ONNX file of a component, whose numbers are all float32: rounding them is the builder's work.
TensorRT names a layer after its ONNX node, or after that and `_` and a number where a node makes several layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from voxc.compiler.core.axis import LEAST_OPEN
from voxc.compiler.core.errors import BundleError
from voxc.compiler.core.plan import PrecisionPlan

if TYPE_CHECKING:
    from onnx import NodeProto
    from torch import fx

    from voxc.backends.tensorrt.legality import Reading
    from voxc.compiler.core.program import Program

Arithmetic = Literal["fp32", "fp16", "int8"]

SUFFIX = ".precisions.json"
MOST_BYTES = 1 << 24
FLOATS = frozenset({"FP32", "FP16"})
ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})
#: In parts, a normalisation squares what it normalises, and float16 ends at 65504. As one operator it does not.
STATISTICS = frozenset({"aten.native_layer_norm.default", "aten.native_group_norm.default"})


class Profile(BaseModel):
    """The shapes that an input with open axes may have, and the one to be fast for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: tuple[PositiveInt, ...]
    opt: tuple[PositiveInt, ...]
    max: tuple[PositiveInt, ...]


class Precisions(BaseModel):
    """The recipe of one engine.

    `layers` are the ONNX nodes that give floats, in order; `int8` ones stand between QuantizeLinear and
    DequantizeLinear, whose scales say the rest. Layers of no node follow `default`. Without `tf32` float32 is what it
    says: TensorRT would otherwise round products to 10 bits on GPUs that can, and there is a phase among them.
    With `implicit`, nothing stands around the `int8` ones: they may be so, by the scales in the calibration cache, and
    the builder takes what it times faster.
    `profiles` are of inputs with open axes.
    `reasons` say why layers do not follow `default`, and what is a part of a call that became several nodes;
    `rewritten` counts such calls.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    component: str
    tensorrt: str | None
    opset: int
    default: Literal["fp32", "fp16"]
    tf32: bool = False
    implicit: bool = False
    profiles: Mapping[str, Profile] = {}
    layers: Mapping[str, Arithmetic]
    reasons: Mapping[str, str] = {}
    rewritten: Mapping[str, int] = {}

    @property
    def uses(self) -> frozenset[str]:
        """All that layers compute in: the flags that the builder needs."""
        return frozenset({self.default, *self.layers.values()})

    def told(self, layer: str) -> str:
        """What an ONNX node computes in, in words."""
        arithmetic = self.layers[layer]
        return f"int8 or {self.default}" if self.implicit and arithmetic == "int8" else arithmetic

    def write(self, file: Path) -> None:
        file.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")


def precisions_file(onnx_file: Path) -> Path:
    return onnx_file.with_name(onnx_file.stem + SUFFIX)


def read_precisions(file: Path) -> Precisions:
    """Raises BundleError if the file is missing or says something else."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise BundleError(f"{file}: larger than {MOST_BYTES >> 20} MiB")
        return Precisions.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleError(f"{file}: not a recipe of an engine ({str(error).partition(chr(10))[0]})") from error


def precisions_of(
    component: str,
    version: str | None,
    plan: PrecisionPlan,
    reading: Reading,
    origins: Mapping[str, fx.Node],
    profiles: Mapping[str, Profile] | None = None,
) -> Precisions:
    """The recipe for a file whose nodes came from the calls `origins` of a program with a plan."""
    nodes = [node for node in reading.nodes if gives_floats(node, reading) and node.op_type not in ROUNDING]
    parts = Counter(origins[node.name] for node in nodes if node.name in origins)
    default: Literal["fp32", "fp16"] = "fp16" if plan.default == "fp16" else "fp32"
    layers: dict[str, Arithmetic] = {}
    reasons = {}
    for node in nodes:
        origin = origins.get(node.name)
        layers[node.name] = default if origin is None else arithmetic(plan, origin.name, default)
        if plan.implicit and layers[node.name] == "int8":
            reasons[node.name] = "TensorRT's choice: what it times faster"
        if origin is not None and plan.precision(origin.name) == "w8":
            reasons[node.name] = "its weights take 8 bits in the kit, and are floats in the engine"
        if origin is not None and parts[origin] > 1:
            reasons[node.name] = f"a part of {origin.target}"
        if default == "fp16" and layers[node.name] == "fp32":
            reasons[node.name] = "the plan keeps it: phases and what leads to them"
        if default == "fp16" and origin is not None and parts[origin] > 1 and str(origin.target) in STATISTICS:
            layers[node.name] = "fp32"
            reasons[node.name] = "a normalisation in parts, whose squares float16 may not hold"
    return Precisions(
        component=component,
        tensorrt=version,
        opset=reading.opset,
        default=default,
        implicit=plan.implicit,
        profiles=profiles or {},
        layers=layers,
        reasons=reasons,
        rewritten=rewritten(parts),
    )


def profiles_of(program: Program) -> dict[str, Profile]:
    """Of the inputs whose axes are open: from the fewest frames that a network is exported for to a segment, which is
    what memory has been counted for."""
    least = dict.fromkeys(program.sizes, LEAST_OPEN)
    profiles = {}
    for spec in program.inputs:
        if spec.axes:
            segment = spec.bound_shape(program.sizes)
            profiles[spec.name] = Profile(min=spec.bound_shape(least), opt=segment, max=segment)
    return profiles


def arithmetic(plan: PrecisionPlan, name: str, default: Arithmetic) -> Arithmetic:
    precision = plan.precision(name)
    return precision if precision in ("fp32", "fp16", "int8") else default


def gives_floats(node: NodeProto, reading: Reading) -> bool:
    return any(reading.type_of(name) in FLOATS for name in node.output)


def rewritten(parts: Mapping[fx.Node, int]) -> dict[str, int]:
    calls: Iterable[str] = (str(origin.target) for origin, count in parts.items() if count > 1)
    return dict(sorted(Counter(calls).items()))
