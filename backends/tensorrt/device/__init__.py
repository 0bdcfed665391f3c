"""TensorRT on the device: the builder of engines, and what runs them.

The agent ships this folder, so it is Python 3.6 with the standard library and NumPy. voxc itself uses it where TensorRT
and a GPU are.
"""
