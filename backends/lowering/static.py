"""What builders share whose sizes are all known."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor, fx

from voxc.backends.lowering.builder import Builder
from voxc.backends.lowering.layout import keeps_order
from voxc.backends.lowering.weight import Weight


class Shaped(Protocol):
    @property
    def shape(self) -> tuple[int, ...]: ...


S = TypeVar("S", bound=Shaped)


class StaticBuilder(Builder[S]):
    """A builder of tensors with known sizes, whose weights are stored only once a lowering has laid them out."""

    @abstractmethod
    def operand(self, value: object) -> Any:
        """The value of a node, or a number, as the present node computes with it."""

    @abstractmethod
    def reshape(self, x: S, shape: Sequence[int]) -> S:
        """x itself if it has this shape already."""

    @abstractmethod
    def permute(self, x: S, order: Sequence[int]) -> S:
        """The operator that permutes axes."""

    def transpose(self, x: S, order: Sequence[int]) -> S:
        """A permutation of axes: a mere reshape if only axes of size 1 move."""
        if keeps_order(x.shape, order):
            return self.reshape(x, [x.shape[axis] for axis in order])
        return self.permute(x, order)

    def weight(self, name: str, tensor: Tensor) -> Weight:
        return Weight(name, tensor.detach().contiguous().numpy())

    def constant_of(self, node: object) -> Weight | None:
        """The weight that a node is, if it is one."""
        value = self.values.get(node) if isinstance(node, fx.Node) else None
        return value if isinstance(value, Weight) else None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the present node's result."""
        return tuple(self.node.meta["val"].shape)

    @property
    def used_results(self) -> set[object]:
        """The indices of those of the present node's results that anything uses."""
        return {user.args[1] for user in self.node.users}
