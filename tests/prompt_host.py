"""A prompt on a made-up target, for tests that need a process of their own: `python -m tests.prompt_host`.

It knows commands that no user has: `slow` never ends, `broken` has a defect, `count N` prints N lines.
"""

from __future__ import annotations

import sys
import time
from typing import Iterator

from dumpkit.dispatcher import Dispatcher
from dumpkit.output import Output
from dumpkit.registry import Word, command
from dumpkit.repl import Repl
from dumpkit.session import Session
from dumpkit.terminal import shows_colour

from tests.made_target import MadeTarget


def slow(session: Session) -> None:
    """Waits for Ctrl-C."""
    session.output.line("slow has begun")
    while True:
        time.sleep(0.01)


def broken(session: Session) -> None:
    """Fails as no command should."""
    raise ZeroDivisionError("division by zero\nand more")


def count_lines(last: int) -> Iterator[str]:
    for number in range(1, last + 1):
        yield f"line {number}"


def count(session: Session, last: str) -> int:
    """Prints lines."""
    return int(last)


NAMES = ("slow", "broken", "count")


def register() -> None:
    """Add the commands of `NAMES` to those of this process."""
    command("slow", category="Session", summary="Never ends")(slow)
    command("broken", category="Session", summary="Has a defect")(broken)
    arguments = (Word("last", "how many"),)
    command("count", category="Session", summary="Prints lines", arguments=arguments, render=count_lines)(count)


def main() -> int:
    register()
    session = Session(Output(sys.stdout, shows_colour(sys.stdout)), MadeTarget())
    Dispatcher(session)
    return Repl(session).run()


if __name__ == "__main__":
    sys.exit(main())
