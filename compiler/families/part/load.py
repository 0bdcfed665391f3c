"""The models of single networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from voxc.compiler.core.errors import RecipeError
from voxc.compiler.families.model import Model
from voxc.compiler.networks.hubert.component import FRAME_RATE, content_component
from voxc.compiler.networks.hubert.layout import model_place, roles, settings_files, weight_files
from voxc.compiler.networks.hubert.load import Listening, build_encoder, open_encoder
from voxc.compiler.networks.pitch import FRAME_RATE as PITCH_RATE
from voxc.compiler.networks.rmvpe.component import rmvpe_component
from voxc.compiler.networks.rmvpe.file import load_rmvpe


def content_encoder(place: Path, options: Any) -> Model:
    """A HuBERT by itself, with all of its layers unless the options say which is listened to."""
    place = model_place(place)
    stored = open_encoder(place)
    encoder = build_encoder(stored, Listening(options.content_layer, options.final_proj, exact=True))
    return Model(
        family="part",
        components=(content_component(encoder, encoder.width),),
        files=roles("checkpoint", weight_files(place)),
        depends=settings_files(place),
        frame_rate=FRAME_RATE,
        warnings=stored.warnings,
        facts={
            "network": "hubert",
            "layer": len(encoder.encoder.layers),
            "features": encoder.width,
            "parameters": sum(tensor.numel() for tensor in encoder.parameters()),
        },
    )


def f0_network(place: Path, options: Any) -> Model:
    """RMVPE by itself.

    Raises:
        RecipeError: options of content encoders.
    """
    if options.content_layer is not None or options.final_proj:
        raise RecipeError(f"{place}: is an F0 network; --content-layer and --final-proj are for content encoders")
    network = load_rmvpe(place)
    return Model(
        family="part",
        components=(rmvpe_component(network),),
        files={"checkpoint": place},
        frame_rate=PITCH_RATE,
        facts={"network": "rmvpe", "parameters": sum(tensor.numel() for tensor in network.parameters())},
    )


#: By the kind of network.
LOADERS: Mapping[str, Callable[[Path, Any], Model]] = {"hubert": content_encoder, "rmvpe": f0_network}
