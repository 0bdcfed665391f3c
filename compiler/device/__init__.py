"""Measuring on devices: the agent that runs there, and the host's side of it."""
