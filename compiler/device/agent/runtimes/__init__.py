"""Runtimes, one a module, which calls its class RUNTIME. An agent has those of the backends that it is packed for."""
