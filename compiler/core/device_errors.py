"""What code on a device raises. The agent ships this module, so it is Python 3.6 and imports nothing of voxc.

AgentError
├── BundleError              exit 2: the bundle cannot be used
├── SettingError             exit 2: an option or a place for files cannot be used
├── MissingError             exit 3: the machine lacks a package, a library or a GPU
└── MachineError             exit 3: a part of the machine, or of its runtime, fails
"""


class AgentError(Exception):
    """A message for the user; `kind` is for programs."""

    kind = ""
    exit_code = 2


class BundleError(AgentError):
    kind = "bundle"


class SettingError(AgentError):
    kind = "setting"


class MissingError(AgentError):
    kind = "missing"
    exit_code = 3


class MachineError(AgentError):
    """A part of the machine, or of its runtime, does not do what is asked of it."""

    kind = "machine"
    exit_code = 3
