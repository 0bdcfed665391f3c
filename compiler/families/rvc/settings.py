"""What the RVC chain has to know of a voice, beside its components."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from voxc.compiler.audio.pitch import FRAME
from voxc.compiler.audio.sound import CONTENT_RATE
from voxc.compiler.core.errors import RecipeError

MIN_FRAMES = 16


class RvcSettings(BaseModel):
    """`sample_rate` in Hz, `hop` in samples a frame, of which every voice has 100 a second; `content_features` are the
    features of a frame."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_rate: int
    hop: int
    content_features: int
    uses_f0: bool
    speakers: int

    def check_segment(self, frames: int) -> None:
        """Raises RecipeError if windows of so many frames cannot be cut into content frames."""
        if frames % 2 or frames < MIN_FRAMES:
            raise RecipeError(
                f"segments of {frames} frames: to convert audio, compile for an even number, {MIN_FRAMES} or more"
            )
        if self.hop * CONTENT_RATE != self.sample_rate * FRAME:
            raise RecipeError(f"{self.hop} samples a frame at {self.sample_rate} Hz: voices have 100 frames a second")
