"""`python -m voxc.compiler` is `voxc`."""

from voxc.compiler.cli.main import main

main()
