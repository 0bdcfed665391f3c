"""Engines and their tensors."""

from typing import Any, Dict, List, Tuple

from voxc.backends.tensorrt.device.builder import Builder
from voxc.compiler.core.device_errors import BundleError, MachineError


class Bound:
    """An engine with a context to run it in: its tensors, whether TensorRT has them by number, as 8.2 does, or by name.

    `least` and `most` are the shapes that each input may have. Where they differ, the input has open axes, and has the
    most until `fit` sets another shape.
    """

    DTYPES = ("float32", "float16", "int32", "int64", "bool")

    def __init__(self, builder: Builder, engine: Any) -> None:
        self.builder, self.engine, self.by_name = builder, engine, hasattr(engine, "num_io_tensors")  # since 8.5
        self.context = engine.create_execution_context()
        if self.context is None:
            raise MachineError(f"TensorRT cannot prepare to run the engine: {builder.errors()}")
        if self.by_name:
            self.names: List[str] = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        else:
            self.names = [engine.get_binding_name(index) for index in range(engine.num_bindings)]
        self.addresses = [0 for _ in self.names]
        self.outputs = [name for name in self.names if not self.is_input(name)]
        self.least: Dict[str, Tuple[int, ...]] = {}
        self.most: Dict[str, Tuple[int, ...]] = {}
        self.shapes: Dict[str, Tuple[int, ...]] = {}
        for name in self.names:
            if self.is_input(name):
                self.least[name], self.most[name] = self.range_of(name)
                self.fit(name, self.most[name])

    def is_input(self, name: str) -> bool:
        if self.by_name:
            return bool(self.engine.get_tensor_mode(name) == self.builder.library.TensorIOMode.INPUT)
        return bool(self.engine.binding_is_input(self.names.index(name)))

    def range_of(self, name: str) -> Tuple[Tuple[int, ...], Tuple[int, ...]]:
        if self.by_name:
            fixed = tuple(self.engine.get_tensor_shape(name))
        else:
            fixed = tuple(self.engine.get_binding_shape(self.names.index(name)))
        if all(size >= 0 for size in fixed):
            return fixed, fixed
        if self.by_name:
            least, _, most = self.engine.get_tensor_profile_shape(name, 0)
        else:
            least, _, most = self.engine.get_profile_shape(0, self.names.index(name))
        return tuple(least), tuple(most)

    def fit(self, name: str, shape: Tuple[int, ...]) -> None:
        """Says what shape an input has from now on.

        Raises:
            BundleError: it cannot have that.
        """
        least, most = self.least[name], self.most[name]
        if len(shape) != len(most) or not all(a <= size <= b for a, size, b in zip(least, shape, most)):
            shapes = f"{least} to {most}" if least != most else str(most)
            raise BundleError(f"{name} of shape {shape}: the engine takes {shapes}")
        if least == most or self.shapes.get(name) == shape:
            return
        if self.by_name:
            taken = self.context.set_input_shape(name, shape)
        else:
            taken = self.context.set_binding_shape(self.names.index(name), shape)
        if not taken:
            raise BundleError(f"{name} of shape {shape}: TensorRT does not take it: {self.builder.errors()}")
        self.shapes[name] = shape

    def shape(self, name: str) -> Tuple[int, ...]:
        """Of a tensor, now that inputs have theirs."""
        if self.by_name:
            shape = tuple(self.context.get_tensor_shape(name))
        else:
            shape = tuple(self.context.get_binding_shape(self.names.index(name)))
        if any(size < 0 for size in shape):
            raise BundleError(f"{name}: its shape {shape} does not follow from those of the inputs")
        return shape

    def dtype(self, name: str) -> str:
        """What NumPy calls a tensor's type."""
        if self.by_name:
            dtype = self.engine.get_tensor_dtype(name)
        else:
            dtype = self.engine.get_binding_dtype(self.names.index(name))
        known = {
            getattr(self.builder.library, each): each for each in self.DTYPES if hasattr(self.builder.library, each)
        }
        if dtype not in known:
            raise BundleError(f"{name}: {dtype}; engines need plain types")
        return known[dtype]

    def place(self, name: str, address: int) -> None:
        """Says where in the GPU's memory a tensor is."""
        self.addresses[self.names.index(name)] = address
        if self.by_name:
            self.context.set_tensor_address(name, address)

    def run(self, stream: int) -> None:
        """Has the GPU run the engine when it is done with what is in the stream."""
        if self.by_name:
            done = self.context.execute_async_v3(stream)
        else:
            done = self.context.execute_async_v2(self.addresses, stream)
        if not done:
            raise MachineError(f"TensorRT could not run the engine: {self.builder.errors()}")
