"""What is worth keeping between compiles, on disk."""
