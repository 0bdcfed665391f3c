"""Networks of a voice that lie alone in a file or a directory: content encoders and F0 networks."""
