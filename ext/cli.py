"""The command line: `dumpkit FILE`, with commands (-c), a command file (-f), or a prompt."""

from __future__ import annotations

import sys
from os import devnull

from dumpkit import __version__
from dumpkit.errors import DumpkitError, ExpressionError, UnwritableError
from dumpkit.options import Options, help_text, read_options
from dumpkit.output import Output, printable
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, NoReturn, Optional, Sequence

#: Exit statuses: a command failed; the dump cannot be opened or the call is wrong; dumpkit itself failed; as shells
#: count an interrupt and a closed pipe.
FAILED, UNUSABLE, DEFECT, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 130, 141

#: First word of a call that is about no single dump's session -> the module whose `main(words, output)` gives its exit
#: status.
SUBCOMMANDS = {
    "check": "dumpkit.check",
    "completion": "dumpkit.completion",
    "mcp": "dumpkit.mcp",
    "report": "dumpkit.report.command",
    "triage": "dumpkit.triage.command",
    "windbg-setup": "dumpkit.windbg_setup",
}


def open_session(options: Options) -> Session:
    """The session that a command line asks for, its dump open. Raises DumpkitError."""
    from dumpkit.dispatcher import Dispatcher
    from dumpkit.dump import open_dump
    from dumpkit.terminal import shows_colour

    target = open_dump(options.dump, symbol_path=options.symbols, offline=options.offline)
    search = target.symbols.search if sys.stderr.isatty() else None
    if search is not None:
        from dumpkit.symbols.progress import TerminalProgress

        search.progress = TerminalProgress(sys.stderr)
    session = Session(Output(sys.stdout, not options.plain and shows_colour(sys.stdout)), target)
    session.json = options.json
    session.keep_going = options.keep_going
    session.report = lambda error: complain(session, error)
    if options.time_zone:
        from dumpkit.clock import parse_zone

        session.zone = parse_zone(options.time_zone)
    if options.log:
        session.open_log(options.log)
    Dispatcher(session)
    return session


def complain(session: Optional[Session], error: DumpkitError) -> None:
    """Tell the user of an error: one line on standard error, in the log too."""
    if session is not None and isinstance(error, ExpressionError):
        text = printable(error.pointed(session.prompt))
    else:
        text = printable(str(error))
    usage = getattr(error, "usage", None)
    if usage:
        text += f"\n  usage: {usage}"
    if session is not None:
        session.output.flush()
        if session.output.log is not None:
            session.output.log.write(text + "\n")
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _tell_notes(session: Session) -> None:
    """What is damaged in the dump, before anything is read from it."""
    assert session.target is not None
    for note in session.target.notes:
        complain(session, DumpkitError(f"Note: {note}"))


def run_commands(session: Session, line: str) -> int:
    """Run a line of commands; the exit status."""
    from dumpkit.command_line import split_commands

    status = 0
    for text in [text for part in line.splitlines() for text in split_commands(part)]:
        try:
            session.execute(text)
        except DumpkitError as error:
            complain(session, error)
            status = FAILED
            if not session.keep_going:
                break
        if session.ended:
            break
    return status


def _run_script(session: Session, path: str, echo: bool) -> int:
    from dumpkit.script import ScriptError, run_lines

    try:
        run_lines(session, path, echo)
    except ScriptError as error:
        if not error.reported:
            complain(session, error)
        return FAILED
    return 0


def _subcommand(words: Sequence[str]) -> Optional[int]:
    """Run the call whose first word is no dump (`help`, `check FILE` …); None for any other."""
    if words[:1] == ["help"]:
        return _alone("help " + " ".join(words[1:]))
    module = SUBCOMMANDS.get(words[0]) if words else None
    if module is None:
        return None
    if any(word in ("-h", "--help") for word in words):
        from dumpkit.calls import call_help

        return _show(call_help(words[0]))
    from importlib import import_module

    status: int = import_module(module).main(words[1:], Output(sys.stdout))
    return status


def _show(text: str) -> int:
    """Write a text that is no command's; the exit status."""
    output = Output(sys.stdout)
    output.lines(text.splitlines())
    output.flush()
    return 0


def _alone(line: str) -> int:
    """Run commands that need no dump."""
    from dumpkit.dispatcher import Dispatcher

    session = Session(Output(sys.stdout))
    Dispatcher(session)
    return run_commands(session, line)


def _run(words: List[str]) -> int:
    session: Optional[Session] = None
    try:
        status = _subcommand(words)
        if status is not None:
            return status
        options = read_options(words)
        if options.help or options.version:
            return _show(help_text() if options.help else f"dumpkit {__version__}\n")
        session = open_session(options)
        if options.script is None and options.commands is None and sys.stdin.isatty():
            from dumpkit.repl import Repl

            return Repl(session).run()
        _tell_notes(session)
        if options.script is not None:
            return _run_script(session, options.script, echo=not options.no_echo)
        if options.commands is not None:
            return run_commands(session, options.commands)
        return _run_piped(session)
    except UnwritableError:
        raise
    except DumpkitError as error:
        complain(session, error)
        return UNUSABLE
    finally:
        if session is not None:
            session.output.flush()
            session.close_log()
            if session.target is not None:
                session.target.close()


def _run_piped(session: Session) -> int:
    """Commands from standard input, line by line."""
    status = 0
    for line in sys.stdin:
        status = run_commands(session, line) or status
        if session.ended or (status and not session.keep_going):
            break
    return status


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """The console script; returns the exit status."""
    # A process may be started without standard streams (`>&-`); what it says then goes nowhere, and it is told nothing.
    sys.stdin = sys.stdin or open(devnull)  # noqa: SIM115
    sys.stdout = sys.stdout or open(devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
        Output(sys.stdout).flush()
        return status
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted\n")
        return INTERRUPTED
    except UnwritableError as error:
        sys.stderr.write(f"{error}\n")
        return UNUSABLE
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is left to be told to anyone.
        from os import O_WRONLY, dup2
        from os import open as os_open

        dup2(os_open(devnull, O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # the last place where a defect can be put into words
        from dumpkit.defects import debugging, defect_line

        if debugging():
            raise
        sys.stderr.write(f"{defect_line(error)}\n")
        return DEFECT


def console() -> NoReturn:
    """The console script's process: `main`, then the end without tidying up.

    Everything written is flushed and every file closed by then; what Python would still do, taking apart
    what the process ends with anyway, costs as long as a command.
    """
    import gc
    import os

    # No command makes cycles worth collecting in the tens of milliseconds that it takes.
    gc.set_threshold(100_000, 50, 50)
    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    console()
