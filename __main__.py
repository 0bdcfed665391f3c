"""`python -m voxc` is `voxc`."""

from voxc.compiler.cli.main import main

main()
