"""Commands run in tests: on a session, in this process or in another."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any, Dict, List, Optional

from dumpkit.clock import Zone
from dumpkit.dispatcher import Dispatcher, load_all, parse_call
from dumpkit.errors import DumpkitError, ExpressionError
from dumpkit.output import Output, plain
from dumpkit.registry import Command
from dumpkit.session import Session
from dumpkit.target import Target

from tests.shared import dump


def own_commands() -> Dict[str, Command]:
    """dumpkit's commands by their listed names: other tests of the same process may have registered some of theirs."""
    return {name: each for name, each in load_all().items() if each.run.__module__.startswith("dumpkit.")}


def session_on(target: Optional[Target]) -> Session:
    """A session on a target, times in UTC, its output kept in memory."""
    session = Session(Output(io.StringIO()), target)
    session.zone = Zone()
    Dispatcher(session)
    return session


def session_of(name: str) -> Session:
    """A session on one of the real dumps."""
    from dumpkit.dump import open_dump

    return session_on(open_dump(dump(name)))


def run(session: Session, text: str) -> Any:
    """The result of one command."""
    return Dispatcher(session).call(parse_call(text))


def run_lines(session: Session, text: str) -> List[str]:
    """The lines that one command shows."""
    return [plain(line) for line in Dispatcher(session).lines(text)]


def shown(session: Session) -> List[str]:
    """What has been written to the session's output so far."""
    stream = session.output.stream
    assert isinstance(stream, io.StringIO)
    return stream.getvalue().splitlines()


def failure_text(session: Session, error: DumpkitError) -> str:
    """An error as the user sees it at the prompt."""
    return error.pointed(session.prompt) if isinstance(error, ExpressionError) else str(error)


def dumpkit(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the console script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "dumpkit", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
