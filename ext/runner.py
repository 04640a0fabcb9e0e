"""What a session runs commands with."""

from __future__ import annotations

from typing import Dict, Iterator, Optional, Protocol

from dumpkit.output import Line
from dumpkit.registry import Command


class Runner(Protocol):
    """What a session runs commands with: the dispatcher, seen from below."""

    def run(self, line: str) -> None:
        """Run every command of a line and show each. Raises DumpkitError."""

    def lines(self, text: str) -> Iterator[Line]:
        """The lines that one command would show."""

    def block(self, text: str) -> Iterator[Line]:
        """The lines that the commands of a block show, each run when its lines are asked for."""

    def find(self, name: str) -> Optional[Command]:
        """The command of that name, or None."""

    def all(self) -> Dict[str, Command]:
        """Every command by its listed name."""
