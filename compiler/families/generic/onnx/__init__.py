"""Reads ONNX files as PyTorch modules."""

from __future__ import annotations

from voxc.compiler.families.generic.onnx.reader import read_onnx

__all__ = ["read_onnx"]
