"""Commands that concern the session itself: `.echo`, `n`, `q`, logs and command files."""

from __future__ import annotations

from dumpkit.arguments import take_word
from dumpkit.errors import CommandError, ExpressionError
from dumpkit.record import Record
from dumpkit.registry import Text, Word, command
from dumpkit.script import run_block, run_lines
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List


class Message(Record):
    """A line of text."""

    text: str


def message_lines(result: Message) -> Iterator[str]:
    yield result.text


@command(
    ".echo",
    category="Session",
    summary="Prints its text",
    arguments=(Text("text", "what to print; in double quotes, a ; does not end it", holds="nothing"),),
    render=message_lines,
    needs_target=False,
    raw=True,
)
def echo(session: Session, text: str = "") -> Message:
    """Prints its text as it stands, without the double quotes around it."""
    if not text.startswith('"'):
        return Message(text)
    end = text.find('"', 1)
    if end < 0:
        raise ExpressionError("Trailing quote missing", len(text), text, caret=True)
    session.refuse_surplus(text, end + 1)
    return Message(text[1:end])


@command(
    "q",
    aliases=("qq", "qd", "quit", "exit"),
    category="Session",
    summary="Ends the session",
    needs_target=False,
    silent=True,
)
def quit_session(session: Session) -> None:
    """Ends the session; in a command file, nothing behind it is run."""
    session.ended = True


@command(
    "n",
    category="Session",
    summary="Shows or sets the base of numbers",
    arguments=(Text("base", "8, 10 or 16", holds="nothing"),),
    render=message_lines,
    needs_target=False,
)
def radix(session: Session, base: str = "") -> Message:
    """Numbers without a prefix are hexadecimal at first; `n 10` makes them decimal. 0x, 0n, 0t and 0y always hold."""
    if base:
        word, _, rest = base.partition(" ")
        if word not in ("8", "10", "16"):
            raise ExpressionError("Syntax error", 0, base, caret=True)
        session.radix = int(word)
        session.refuse_surplus(base, len(base) - len(rest))
    return Message(f"base is {session.radix}")


def _one_path(name: str, text: str, what: str) -> str:
    """The only word of a text. Raises CommandError where there is none, or more."""
    path, rest = take_word(text)
    if not path or rest.strip():
        raise CommandError(f"{name} needs the path of {what} (in double quotes where it holds spaces)")
    return path


def _open_log(session: Session, name: str, text: str, append: bool) -> Message:
    timed = False
    while text.lower().startswith(("/t", "/u")) and text[2:3] in ("", " ", "\t"):
        timed = timed or text[1] in "tT"
        text = text[2:].lstrip()
    path = _one_path(name, text, "a file")
    if timed:
        path = _with_time(path)
    session.open_log(path, append)
    return Message(f"Opened log file '{path}'")


def _with_time(path: str) -> str:
    """A path with the process's number and the time before its ending: log_0020_2026-11-22_22-10-49-265.txt."""
    import os
    from datetime import datetime

    stem, ending = os.path.splitext(path)
    now = datetime.now()
    return f"{stem}_{os.getpid():04x}_{now:%Y-%m-%d_%H-%M-%S}-{now.microsecond // 1000:03d}{ending}"


_LOG_FILE = (Text("file", "[/t] [/u] its path; /t puts process and time into its name", holds="file"),)


@command(
    ".logopen",
    category="Session",
    summary="Writes what is shown to a file, too",
    arguments=_LOG_FILE,
    render=message_lines,
    needs_target=False,
)
def log_open(session: Session, file: str = "") -> Message:
    """Opens a log file; everything shown from now on is written to it as well, in UTF-8.

    A file that is there is replaced; .logappend goes on at its end. /t puts the process's number and the time into the
    file's name; /u, which asks the debugger for Unicode, is accepted.
    """
    return _open_log(session, ".logopen", file, append=False)


@command(
    ".logappend",
    category="Session",
    summary="As .logopen, behind what the file holds",
    arguments=_LOG_FILE,
    render=message_lines,
    needs_target=False,
)
def log_append(session: Session, file: str = "") -> Message:
    """Opens a log file and goes on at its end."""
    return _open_log(session, ".logappend", file, append=True)


@command(".logclose", category="Session", summary="Ends the log", render=message_lines, needs_target=False)
def log_close(session: Session) -> Message:
    """Closes the log file."""
    log = session.close_log()
    if log is None:
        raise CommandError("No log file open")
    return Message(f"Closing open log file {log.name}")


@command(
    "$$><",
    aliases=("$><",),
    category="Session",
    summary="Runs a command file as one block",
    arguments=(Text("file", "its path", holds="file"),),
    needs_target=False,
    silent=True,
    raw=True,
)
def run_file_as_block(session: Session, file: str = "") -> None:
    """Runs the commands of a file; its line ends count as `;`."""
    run_block(session, _one_path("$$><", file, "a command file"))


@command(
    "$$>a<",
    aliases=("$>a<",),
    category="Session",
    summary="Runs a command file with arguments",
    arguments=(Word("words", "its path, then the values of ${$arg1}, ${$arg2} …", repeated=True, holds="file"),),
    needs_target=False,
    silent=True,
    raw=True,
)
def run_file_with_arguments(session: Session, words: List[str] = []) -> None:  # noqa: B006 - never changed
    """Runs the commands of a file after putting the words behind its path in place of ${$arg1}, ${$arg2} …"""
    if not words:
        raise CommandError("$$>a< needs the path of a command file and its arguments")
    run_block(session, words[0], words[1:])


@command(
    "$<",
    aliases=("$$<",),
    category="Session",
    summary="Runs a command file line by line",
    arguments=(Text("file", "its path", holds="file"),),
    needs_target=False,
    silent=True,
    raw=True,
)
def run_file(session: Session, file: str = "") -> None:
    """Runs each line of a file as if it had been typed: the prompt and the line are shown before its output."""
    run_lines(session, _one_path("$<", file, "a command file"))
