"""Control flow: operations that run blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from voxc.backends.coreml.interpret.call import Call, Value

#: Runs a block on the values of its inputs.
Run = Callable[[Sequence[Value]], list[Value]]
MAX_ROUNDS = 1_000_000


def cond(call: Call, blocks: Sequence[Run]) -> Sequence[Value]:
    """The results of the first block, or of the second if `pred` is false."""
    if len(blocks) != 2:
        raise call.wrong(f"{len(blocks)} blocks instead of two")
    return blocks[0 if bool(call.tensor("pred").all()) else 1]([])


def while_loop(call: Call, blocks: Sequence[Run]) -> Sequence[Value]:
    """The loop's values once the first block is false of them; the second makes the next from the last."""
    if len(blocks) != 2:
        raise call.wrong(f"{len(blocks)} blocks instead of two")
    condition, body = blocks
    values: Sequence[Value] = call.values.get("loop_vars", ())
    for _ in range(MAX_ROUNDS):
        (more,) = condition(values)
        if not isinstance(more, Tensor) or not bool(more):
            return values
        values = body(values)
    raise call.wrong(f"still going after {MAX_ROUNDS} rounds")


CONTROL: dict[str, Callable[[Call, Sequence[Run]], Sequence[Value]]] = {"cond": cond, "while_loop": while_loop}
