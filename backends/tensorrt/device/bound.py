"""Engines with their tensors, whatever holds the memory."""

from typing import Any, Dict, List, Tuple

from voxc.backends.tensorrt.device.builder import Builder
from voxc.compiler.core.device_errors import BundleError, MachineError


class Bound:
    """An engine with a context to run it in. Its tensors have numbers for TensorRT before 8.5, names from then on.

    `least` and `most` are the smallest and largest shapes of each input. Where they differ, the input has open axes;
    it has its largest shape until `fit` sets another.
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
        """The smallest and the largest shape of an input."""
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
        """Sets the shape of an input.

        Raises:
            BundleError: the engine does not take it.
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
        """The shape of a tensor, by the shapes that inputs have now.

        Raises:
            BundleError: it does not follow from them.
        """
        if self.by_name:
            shape = tuple(self.context.get_tensor_shape(name))
        else:
            shape = tuple(self.context.get_binding_shape(self.names.index(name)))
        if any(size < 0 for size in shape):
            raise BundleError(f"{name}: its shape {shape} does not follow from those of the inputs")
        return shape

    def dtype(self, name: str) -> str:
        """NumPy's name of a tensor's type.

        Raises:
            BundleError: NumPy has no such type.
        """
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
        """Sets the address of a tensor in the GPU's memory."""
        self.addresses[self.names.index(name)] = address
        if self.by_name:
            self.context.set_tensor_address(name, address)

    def run(self, stream: int) -> None:
        """Queues a run of the engine in a CUDA stream.

        Raises:
            MachineError: TensorRT refuses.
        """
        if self.by_name:
            done = self.context.execute_async_v3(stream)
        else:
            done = self.context.execute_async_v2(self.addresses, stream)
        if not done:
            raise MachineError(f"TensorRT could not run the engine: {self.builder.errors()}")
