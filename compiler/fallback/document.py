"""The graph of a fallback as it lies in a bundle: JSON that says which operators are called with what, in order.

    {"version": 1, "inputs": {"x": "audio"}, "weights": {"w": "conv.weight"}, "outputs": {"features": "relu"},
     "calls": [{"name": "mul", "operator": "aten.mul.Tensor", "arguments": [{"value": "x"}, {"value": "w"}]}, ...]}

torch.export's own files hold pickles, and their reader looks up any name in torch; a bundle can come from anyone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, model_validator

MAX_CALLS = 1 << 16
MAX_WEIGHTS = 1 << 14
MAX_LIST = 1 << 12
MAX_INTEGER = (1 << 63) - 1

#: Of a value: something that comes from PyTorch's names for nodes.
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)]
Text = Annotated[str, Field(max_length=256)]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Reference(Record):
    """A value by its name: an input, a weight, or what an earlier call gave."""

    value: Name


class DType(Record):
    dtype: Literal["float32", "float16", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]


class MemoryFormat(Record):
    memory_format: Literal["contiguous_format", "preserve_format"]


class NonFinite(Record):
    """A number that JSON does not have."""

    number: Literal["inf", "-inf", "nan"]


Integer = Annotated[StrictInt, Field(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)]
Single = StrictBool | Integer | StrictFloat | Text | None | Reference | DType | MemoryFormat | NonFinite
Argument = Single | Annotated[tuple[Single, ...], Field(max_length=MAX_LIST)]


class Call(Record):
    """One call, whose result gets the name `name`."""

    name: Name
    operator: Text
    arguments: tuple[Argument, ...] = Field(default=(), max_length=32)
    keywords: dict[Name, Argument] = Field(default={}, max_length=32)

    @property
    def references(self) -> Iterator[str]:
        """The values that the call takes, each as often as it does."""
        for argument in (*self.arguments, *self.keywords.values()):
            for each in argument if isinstance(argument, tuple) else (argument,):
                if isinstance(each, Reference):
                    yield each.value


class Document(Record):
    """A graph. `inputs` and `weights` name the component's inputs and the tensors of the file of weights by the value
    that is made of each; `outputs` names values by the component's outputs."""

    version: Literal[1] = 1
    inputs: dict[Name, Text] = Field(max_length=256)
    weights: dict[Name, Text] = Field(max_length=MAX_WEIGHTS)
    outputs: dict[Text, Name] = Field(max_length=256)
    calls: tuple[Call, ...] = Field(max_length=MAX_CALLS)

    @model_validator(mode="after")
    def values_come_before_their_use(self) -> Self:
        known = {*self.inputs, *self.weights}
        if len(known) < len(self.inputs) + len(self.weights):
            raise ValueError("a value is both an input and a weight")
        for call in self.calls:
            unknown = next((name for name in call.references if name not in known), None)
            if unknown is not None:
                raise ValueError(f"{call.name} takes {unknown}, which is not there yet")
            if call.name in known:
                raise ValueError(f"two values are called {call.name}")
            known.add(call.name)
        missing = next((name for name in self.outputs.values() if name not in known), None)
        if missing is not None:
            raise ValueError(f"the output {missing} is nowhere computed")
        return self
