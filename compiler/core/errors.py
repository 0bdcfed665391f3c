"""Every error that voxc raises on purpose.

VoxcError
├── InputError                 exit 2: what the user gave cannot be used
│   ├── CheckpointError          a checkpoint is unreadable, hostile or incomplete
│   ├── TargetError              targets.yaml is wrong, or has no such target
│   ├── RecipeError              options that contradict each other, the model or the target
│   ├── OutputError              the place for the result cannot be written
│   ├── TensorError              tensors for `run` do not fit the component
│   ├── AudioError               a recording is unreadable, empty or holds no numbers
│   └── BundleError              not a bundle, or one that breaks its own schema
├── CompileError               exit 2: the target cannot take this network
│   ├── PassError                a pass met a graph that it cannot handle
│   └── UnsupportedError         a backend has no lowering for a node
├── QualityError               exit 1: a gate, a numerical check or a verification failed
├── IncompleteError            exit 1: some of many files could not be converted
├── MissingRuntimeError        exit 3: this machine, or the device, lacks something
├── PluginError                exit 3: a plug-in cannot be loaded, or clashes with another
└── DeviceError                exit 3: a device cannot be reached, or did not finish
"""

from __future__ import annotations


class VoxcError(Exception):
    """One message for the user: what is wrong, where, and what to do about it."""

    exit_code = 2


class InputError(VoxcError):
    pass


class CheckpointError(InputError):
    pass


class TargetError(InputError):
    pass


class RecipeError(InputError):
    pass


class OutputError(InputError):
    pass


class TensorError(InputError):
    pass


class AudioError(InputError):
    pass


class BundleError(InputError):
    pass


class CompileError(VoxcError):
    pass


class PassError(CompileError):
    pass


class UnsupportedError(CompileError):
    pass


class QualityError(VoxcError):
    exit_code = 1


class IncompleteError(VoxcError):
    exit_code = 1


class MissingRuntimeError(VoxcError):
    exit_code = 3


class PluginError(VoxcError):
    exit_code = 3


class DeviceError(VoxcError):
    exit_code = 3
