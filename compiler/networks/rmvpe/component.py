"""RMVPE as a component of a voice."""

from __future__ import annotations

from voxc.compiler.core.component import Component
from voxc.compiler.networks.pitch import pitch_component
from voxc.compiler.networks.rmvpe.network import BINS, Rmvpe

NAME = "rmvpe"


def rmvpe_component(network: Rmvpe) -> Component:
    """`network`, which gives a salience 100 times a second."""
    return pitch_component(NAME, network, BINS)
