from __future__ import annotations

import operator

import pytest
import torch

from voxc.compiler.fallback.document import DType, NonFinite, Reference
from voxc.compiler.fallback.operators import ATEN, PLACES, SIZES, Operator, find_operator, name_of

UNWANTED = {torch.Tag.nondeterministic_seeded, torch.Tag.data_dependent_output, torch.Tag.inplace_view}


def known(name: str) -> Operator:
    found = find_operator(name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", sorted(ATEN))
def test_operators_do_nothing_but_compute(name: str) -> None:
    found = known(f"aten.{name}")
    schema = found.function._schema
    assert not schema.is_mutable
    assert not UNWANTED & set(found.function.tags)
    assert all(each.name in PLACES or each.real_type.str() not in ("Generator", "Device") for each in schema.arguments)


@pytest.mark.parametrize(
    "name",
    [
        "aten.randn.default", "aten.empty.memory_format", "aten.as_strided.default", "aten.from_file.default",
        "aten.relu_.default", "aten.set_.source_Storage", "aten.add", "aten.add.out", "aten.__class__.default",
        "prims.add.default", "os.system", "operator.pow", "operator.attrgetter", "aten.nonzero.default", "",
    ],
)  # fmt: skip
def test_others_are_not_to_be_had(name: str) -> None:
    assert find_operator(name) is None


def test_what_a_graph_calls_has_a_name_only_if_it_may() -> None:
    assert name_of(torch.ops.aten.add.Tensor) == "aten.add.Tensor"
    assert name_of(operator.getitem) == "operator.getitem"
    assert name_of(torch.sym_float) == "torch.sym_float"
    assert [name_of(other) for other in (torch.ops.aten.rand.default, operator.pow, print, "relu")] == [None] * 4


def test_arguments_are_of_their_types() -> None:
    clamp, full, split = map(known, ("aten.clamp.default", "aten.full.default", "aten.split_with_sizes.default"))
    x = Reference(value="x")
    assert not clamp.complaint((x, 0, NonFinite(number="inf")), {})
    assert not clamp.complaint((x, None, 1.5), {})
    assert clamp.complaint((x, "0"), {}) == "no Optional[number]"
    assert clamp.complaint((x, 0, 1, 2), {}) == "4 arguments of at most 3"
    assert not split.complaint((x, (1, Reference(value="n"))), {})
    assert split.complaint((x, (1, 1.5)), {}) == "no List[int]"
    assert split.complaint((x, 1), {}) == "no List[int]"
    assert split.complaint((x, (True,)), {}) == "no List[int]"
    assert not full.complaint(((2, 2), 0.5), {"dtype": DType(dtype="float32")})
    assert full.complaint(((2, 2), 0.5), {"device": "cuda:0"}) == "no argument 'device'"


def test_sizes_are_numbers_within_bounds() -> None:
    for name in SIZES:
        found = known(name)
        with pytest.raises(TypeError, match="sizes are numbers"):
            found.function(*[torch.zeros(2)] * len(found.positions))
    product, item = map(known, ("operator.mul", "operator.getitem"))
    assert product.function(3, 4) == 12
    for values in ((1 << 30, 1 << 30), (float("inf"), 1), (float("nan"), 1)):
        with pytest.raises(OverflowError):
            product.function(*values)
    with pytest.raises(TypeError, match="several results"):
        item.function(torch.zeros(2), 0)
