"""What changes a model's networks before they are compiled for a target."""
