"""What each node of a component computes in: asked for, replayed from a file, or found by measuring."""
