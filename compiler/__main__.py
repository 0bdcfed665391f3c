"""`python -m voxc.compiler` is `voxc`."""

from voxc.compiler.main import main

main()
