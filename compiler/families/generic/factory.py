"""A Python function that gives a network, as a network. Its code runs, because the user has named it."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from voxc.compiler.core.errors import CheckpointError
from voxc.compiler.families.generic.network import Network, spec_of

NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
EXAMPLE = "a function that returns (module, example inputs), named as package.module:function"


def read_factory(name: str) -> Network:
    """The network that a function gives, in evaluation mode: `(module, inputs)`, with example inputs as a tuple or a
    mapping of tensors by the names of `forward`'s parameters.

    Raises:
        CheckpointError: there is no such function, it fails, or gives something else.
    """
    if not NAME.fullmatch(name):
        raise CheckpointError(f"{name}: give {EXAMPLE}")
    module, inputs = made(name)
    module = module.float().eval()
    try:
        with torch.inference_mode():
            results = module(*inputs.values())
    except Exception as error:
        raise CheckpointError(f"{name}: the network does not run on its example inputs ({describe(error)})") from error
    outputs = [results] if isinstance(results, Tensor) else results
    if not isinstance(outputs, tuple | list) or not all(isinstance(each, Tensor) for each in outputs):
        raise CheckpointError(f"{name}: the network gives {type(results).__name__}; it has to give tensors alone")
    return Network(
        module,
        tuple(spec_of(key, tensor, "input of the network") for key, tensor in inputs.items()),
        tuple(spec_of(f"output_{place}", each, "output of the network") for place, each in enumerate(outputs)),
        {"format": "factory", "parameters": sum(tensor.numel() for tensor in module.parameters())},
    )


def made(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """What the function gives, inputs by name."""
    package, _, attribute = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)  # as `python -m` has it
    try:
        function = getattr(importlib.import_module(package), attribute, None)
    except Exception as error:
        raise CheckpointError(f"{name}: {package} cannot be imported ({describe(error)})") from error
    if not callable(function):
        raise CheckpointError(f"{name}: {package} has no function {attribute}; give {EXAMPLE}")
    try:
        result = function()
    except Exception as error:
        raise CheckpointError(f"{name}: the function fails ({describe(error)})") from error
    if not (isinstance(result, tuple | list) and len(result) == 2 and isinstance(result[0], nn.Module)):
        raise CheckpointError(f"{name}: gives {type(result).__name__}; give {EXAMPLE}")
    return result[0], named_inputs(name, result[1])


def named_inputs(name: str, inputs: Any) -> dict[str, Tensor]:
    if isinstance(inputs, Tensor):
        inputs = (inputs,)
    if isinstance(inputs, Sequence):
        inputs = {f"input_{place}": each for place, each in enumerate(inputs)}
    if not isinstance(inputs, Mapping) or not inputs or not all(isinstance(each, Tensor) for each in inputs.values()):
        raise CheckpointError(f"{name}: its example inputs are no tensors; give {EXAMPLE}")
    return {str(key): each for key, each in inputs.items()}


def describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
