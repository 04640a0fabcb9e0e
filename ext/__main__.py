"""`python -m dumpkit`."""

from dumpkit.cli import console

console()
