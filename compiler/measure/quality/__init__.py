"""How good a voice sounds, by the metrics of the field.

`families.fidelity` compares an artifact's audio with float32 PyTorch's; `families.task` compares converted audio with
the target speaker and the source. Each metric has a file of its own; `gates` rates figures and holds them to bounds.
"""
