"""Running what a bundle holds."""
