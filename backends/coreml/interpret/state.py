"""States: tensors that live from one operation to the next and are written in place."""

from __future__ import annotations

from torch import Tensor

from voxc.backends.coreml.interpret.call import Call, Lowerings


def read_state(call: Call) -> Tensor:
    return call.tensor("input").clone()


def write_state(call: Call) -> list[Tensor]:
    state, data = call.tensor("input"), call.tensor("data")
    if state.shape != data.shape:
        raise call.wrong(f"{list(data.shape)} into a state of shape {list(state.shape)}")
    state.copy_(data)
    return []


TABLE: Lowerings = {"read_state": read_state, "write_state": write_state}

EXACT = frozenset(TABLE)
