"""What the agent and `voxc measure` agree on. The agent ships this module, so it is Python 3.6."""

PROTOCOL = 1
#: How lines of progress on stderr begin.
PROGRESS = "voxc-agent: "
#: Exit codes of an agent that has measured: whether all outputs are close enough to the reference.
PASSED, FAILED = 0, 1
