"""The voice that comes with voxc: its files are in `voice/`, how it was made in `training/` and MODEL_CARD.md."""
