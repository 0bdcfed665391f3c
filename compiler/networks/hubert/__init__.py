"""Content encoders: what is said, at 50 frames a second, whoever says it."""
