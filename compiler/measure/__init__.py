"""How fast and how faithful an artifact is, and how each number was obtained."""
