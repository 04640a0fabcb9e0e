"""The prompt: a person types lines, the dispatcher runs them."""

from __future__ import annotations

import sys
from os import environ
from traceback import format_exception

from dumpkit.defects import debugging, defect_line
from dumpkit.errors import DumpkitError, ExpressionError
from dumpkit.output import Span, printable
from dumpkit.prompt.interrupts import Interrupts
from dumpkit.session import Session
from dumpkit.terminal import is_dumb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional, Tuple, Union

    from dumpkit.prompt.reader import PromptReader

    Reader = Union[PromptReader, "PlainReader"]


class PlainReader:
    """Reads lines with nothing but Python's own input()."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def read(self, prompt: str) -> str:
        """The next line. Raises EOFError at the end of input, KeyboardInterrupt for Ctrl-C."""
        try:
            with self._interrupts.arm():
                return input(prompt)
        except (EOFError, KeyboardInterrupt):
            sys.stdout.write("\n")
            raise

    def forget(self) -> None:
        """Nothing waits here."""

    def take_problem(self) -> None:
        """Nothing is kept here that could fail."""


def open_reader(session: Session, interrupts: Interrupts) -> Tuple[Reader, Optional[str]]:
    """What reads lines in this terminal, and why it is not prompt_toolkit where it is not."""
    if is_dumb():
        return PlainReader(interrupts), f"TERM={environ['TERM']}"
    if not sys.stdout.isatty():
        return PlainReader(interrupts), "the output is no terminal"
    try:
        from dumpkit.prompt.reader import PromptReader
    except ImportError as error:
        return PlainReader(interrupts), str(error)
    from dumpkit.prompt.history import History, HistoryError, state_folder

    try:
        history: Optional[History] = History(state_folder() / "history")
    except HistoryError:
        history = None
    if sys.platform == "win32":
        from prompt_toolkit.output.win32 import NoConsoleScreenBufferError

        try:
            return PromptReader(session, history), None
        except NoConsoleScreenBufferError:
            return PlainReader(interrupts), "this is no Windows console"
    return PromptReader(session, history), None


class Repl:
    """One session at a prompt."""

    def __init__(self, session: Session, reader: Optional[Reader] = None) -> None:
        """`reader` reads the lines; without one, the best that the terminal can do is opened."""
        self.session = session
        self._reader = reader
        self._interrupts = Interrupts()
        #: The line that an empty one repeats.
        self._last = ""

    def run(self) -> int:
        """Read and run lines until the user ends the session; the exit status."""
        self.session.report = self._complain
        with self._interrupts.installed():
            if not self.session.json:
                self._attempt(self._show_banner)
            reader = self._reader or self._open_reader()
            while not self.session.ended:
                self._tell_problem(reader)
                try:
                    line = reader.read(self.session.prompt)
                except EOFError:
                    break
                except KeyboardInterrupt:
                    self._last = ""
                    continue
                if not self._run(line):
                    reader.forget()
        return 0

    def _open_reader(self) -> Reader:
        reader, reason = open_reader(self.session, self._interrupts)
        if reason is not None:
            self._tell(f"Plain input, without completion and history: {reason}", "dim")
        return reader

    def _tell_problem(self, reader: Reader) -> None:
        problem = reader.take_problem()
        if problem is not None:
            self._tell(f"History is not kept: {problem}", "warning")

    def _show_banner(self) -> None:
        from dumpkit.prompt.banner import banner_lines

        # Line by line: the last ones may wait for a symbol server.
        for line in banner_lines(self.session):
            self.session.output.line(line)
            self.session.output.flush()

    # --- One line ------------------------------------------------------------

    def _run(self, line: str) -> bool:
        """Run a line; false where it was interrupted.

        As in WinDbg's engine, an empty line repeats the one before it word for word (a bare `u` or `db` so goes
        on where it ended), unless that one failed.
        """
        line = line or self._last
        self._last = ""
        if not line.strip():
            return True
        log = self.session.output.log
        if log is not None:
            log.write(f"{self.session.prompt}{line}\n")
        succeeded = self._attempt(lambda: self.session.execute(line))
        if succeeded:
            self._last = line
        return succeeded is not None

    def _attempt(self, action: Callable[[], None]) -> Optional[bool]:
        """Do something that Ctrl-C ends and whose failures are told: whether it succeeded, None where interrupted."""
        try:
            with self._interrupts.arm():
                action()
                self.session.output.flush()
                return True
        except KeyboardInterrupt:
            self._tell("Interrupted", "warning")
            return None
        except DumpkitError as error:
            # In JSON, the record of the command has the error; a command file may have told it already.
            if not self.session.json and not getattr(error, "reported", False):
                self._complain(error)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._tell(f"{error.strerror or error}{': ' + str(error.filename) if error.filename else ''}", "error")
        except Exception as error:  # noqa: BLE001 - a defect of dumpkit must not cost the user the session
            self._tell(defect_line(error), "error")
            if debugging():
                sys.stderr.write("".join(format_exception(type(error), error, error.__traceback__)))
        return False

    # --- Words to the user ---------------------------------------------------

    def _complain(self, error: DumpkitError) -> None:
        """Show an error, and below it the usage where the arguments were at fault."""
        text = error.pointed(self.session.prompt) if isinstance(error, ExpressionError) else str(error)
        self._tell(text, "error")
        usage = getattr(error, "usage", None)
        if usage:
            self._tell(f"  usage: {usage}", None)

    def _tell(self, text: str, style: Optional[str]) -> None:
        """Show a line that is no command's result: among the results, or beside them where those are JSON."""
        if self.session.json:
            sys.stderr.write(f"{printable(text)}\n")
            return
        self.session.output.line((Span(text, style),))
        self.session.output.flush()
