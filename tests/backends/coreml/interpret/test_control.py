from __future__ import annotations

import pytest
import torch

from tests.backends.coreml.interpret import harness
from tests.backends.coreml.interpret.harness import check, evaluate, mb, normal, types
from voxc.backends.coreml.interpret import control
from voxc.compiler.core.errors import BundleError


def doubled_until(limit: float) -> object:
    return lambda a: mb.while_loop(
        _cond=lambda x: mb.less(x=mb.reduce_sum(x=x, axes=[0]), y=limit),
        _body=lambda x: mb.mul(x=x, y=2.0),
        loop_vars=(a,),
    )


def test_a_loop_goes_on_while_its_first_block_says_so() -> None:
    x = torch.tensor([1.0, 2.0, 3.0])
    check(doubled_until(40.0), x * 8, x)
    check(doubled_until(5.0), x, x)


def test_a_loop_without_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_ROUNDS", 10)
    with pytest.raises(BundleError, match="while_loop .*: still going after 10 rounds"):
        evaluate(doubled_until(1.0), torch.tensor([-1.0]))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_one_of_two_blocks_runs_and_reads_what_is_outside(sign: float) -> None:
    x = torch.tensor([sign, 2.0])

    def build(a: object) -> object:
        outside = mb.mul(x=a, y=3.0)
        picked = mb.cond(
            pred=mb.greater(x=mb.slice_by_index(x=a, begin=[0], end=[1], squeeze_mask=[True]), y=0.0),
            _true_fn=lambda: mb.add(x=outside, y=1.0),
            _false_fn=lambda: mb.sub(x=outside, y=1.0),
        )
        return mb.add(x=picked, y=outside)

    check(build, 6 * x + (1 if sign > 0 else -1), x)


def test_lists_are_filled_in_loops() -> None:
    x = normal(0, 4, 3)

    def build(a: object) -> object:
        full = mb.while_loop(
            _cond=lambda place, held: mb.less(x=place, y=4),
            _body=lambda place, held: (
                mb.add(x=place, y=1),
                mb.list_write(ls=held, index=place, value=mb.mul(x=mb.gather(x=a, indices=place, axis=0), y=2.0)),
            ),
            loop_vars=(0, mb.make_list(init_length=4, dynamic_length=False, elem_shape=(3,), dtype="fp32")),
        )[1]
        return mb.list_gather(ls=full, indices=[3, 0, 1]), mb.list_read(ls=full, index=2)

    check(build, [2 * x[[3, 0, 1]], 2 * x[2]], x)


def test_lists_grow_to_hold_what_is_scattered() -> None:
    x = normal(0, 2, 3)

    def build(a: object) -> object:
        empty = mb.make_list(init_length=1, dynamic_length=True, elem_shape=(3,), dtype="fp32")
        full = mb.list_scatter(ls=empty, indices=[3, 1], value=a)
        return mb.list_gather(ls=full, indices=[0, 1, 3]), mb.expand_dims(x=mb.list_length(ls=full), axes=[0])

    check(build, [torch.stack([torch.zeros(3), x[1], x[0]]), torch.tensor([4], dtype=torch.int32)], x)


@pytest.mark.parametrize("index", [1, 4])
def test_an_element_that_was_never_written_is_refused(index: int) -> None:
    def build(a: object) -> object:
        empty = mb.make_list(init_length=1, dynamic_length=True, elem_shape=(3,), dtype="fp32")
        return mb.list_read(ls=mb.list_write(ls=empty, index=2, value=a), index=index)

    with pytest.raises(BundleError, match="list_read .*: element .* (is read before it is written|of 3)"):
        evaluate(build, normal(0, 3))


def test_states_are_read_and_written_and_are_zero_at_first() -> None:
    @mb.program(
        input_specs=[mb.TensorSpec((3,), types.fp16), mb.StateTensorSpec((3,), types.fp16)],
        opset_version=harness.ct.target.iOS18,
    )
    def program(a: object, state: object) -> object:
        seen = mb.add(x=mb.read_state(input=state), y=a)
        mb.coreml_update_state(state=state, value=seen)
        return mb.identity(x=mb.add(x=mb.read_state(input=state), y=seen), name="y")

    x = torch.tensor([1.0, 2.0, 3.0]).half()
    for _ in range(2):
        (found,) = harness.run_program(program, {"a": x}, "iOS18").values()
        assert torch.equal(torch.from_numpy(found), 2 * x)
