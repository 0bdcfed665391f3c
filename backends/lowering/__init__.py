"""What the emitters share: the way through a graph, refusals, weights before they are stored, paddings, convolutions.

A backend subclasses `Builder` (or `StaticBuilder`, where all sizes are known) and has a table of lowerings; each
lowering is a function of the builder, the node and the arguments of the call. All of it imports `compiler.core` alone.
"""
