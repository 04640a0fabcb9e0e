"""`dumpkit mcp`: the commands as tools of the Model Context Protocol, over standard input and output.

An assistant opens dumps by path and gets the commands' JSON. Nothing is written: the commands that write files or run
them are refused. The protocol itself is the package `mcp`'s (extra `dumpkit[mcp]`, Python 3.10 and later).
"""

from __future__ import annotations

from collections import OrderedDict
from json import dumps
from threading import Lock

# The package mcp reads the tools' annotations at run time.
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, Tuple, TypeVar

from dumpkit import __version__
from dumpkit.calls import read_call, read_number, usage
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.library import Answer, Dump, open_dump

if TYPE_CHECKING:
    from dumpkit.output import Output
    from mcp.server.mcpserver import MCPServer

_Taken = TypeVar("_Taken")

#: Commands that write files, run files, or end a session.
REFUSED = frozenset((".logopen", ".logappend", ".logclose", ".writemem", "$$><", "$$>a<", "$<", "q"))
#: Seconds that a command may take.
LIMIT = 60.0
#: Dumps that are kept open, the last used ones.
_KEPT_OPEN = 4
#: Characters of an answer; a model's window is small, and a longer answer can be asked for in pieces.
MOST_CHARACTERS = 100_000
#: Lines of text at a time.
_LINES = 400

_INSTRUCTIONS = """Reads Windows kernel crash dumps (MEMORY.DMP, minidumps). Begin with `analyze`; then `run` WinDbg
commands on the same dump: k, t, irqlcheck, lm, pool, pte, dt, … (`commands` lists them). Addresses are "0x…" strings.
What a dump does not hold is null or said in words; nothing is guessed."""


class TooLongError(CommandError):
    """A command has had its time."""


class _TimeIsUp(BaseException):
    """What ends it, wherever it is; nothing but `limited` takes it."""


def limited(seconds: float, action: Callable[[], _Taken]) -> _Taken:
    """What an action gives; after some time it is ended, as Ctrl+C does it. Raises TooLongError then."""
    from ctypes import c_ulong, py_object, pythonapi
    from threading import Timer, get_ident

    thread, turn, is_over = c_ulong(get_ident()), Lock(), False

    def end() -> None:
        with turn:
            if not is_over:
                pythonapi.PyThreadState_SetAsyncExc(thread, py_object(_TimeIsUp))

    timer = Timer(seconds, end)
    timer.daemon = True
    try:
        try:
            timer.start()
            return action()
        finally:
            with turn:
                is_over = True
            # What was sent before comes to this thread no later than in this call.
            timer.cancel()
    except _TimeIsUp:
        raise TooLongError(f"no answer within {seconds:g} s: narrow the command (dumpkit mcp --limit)") from None


class Dumps:
    """The open dumps, by path and symbol path; the least recently used one is closed for a new one."""

    def __init__(self, symbols: Optional[str], offline: bool, limit: float = LIMIT) -> None:
        self._symbols = symbols
        self._offline = offline
        self._limit = limit
        self._open: OrderedDict[Tuple[str, Optional[str]], Dump] = OrderedDict()
        #: A dump's session is for one command at a time.
        self.lock = Lock()

    def get(self, path: str, symbols: Optional[str]) -> Dump:
        """The dump at a path. Raises DumpkitError."""
        key = (path, symbols or self._symbols)
        found = self._open.get(key)
        if found is None:
            found = open_dump(path, symbols=key[1], offline=self._offline)
            found.session.is_confined = True
            self._open[key] = found
            if len(self._open) > _KEPT_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return found

    def ask(self, path: str, command: str, symbols: Optional[str], take: Callable[[Answer], _Taken]) -> _Taken:
        """What `take` makes of a command's answer, all of it within the limit.

        Raises DumpkitError; CommandError for a command that is refused, TooLongError for one that takes too long.
        """
        dump = self.get(path, symbols)
        found = dump.session.commands.find(command)
        if found is not None and found.name in REFUSED:
            raise CommandError(f"{found.name} is not available here: nothing is written and no file is run")
        try:
            return limited(self._limit, lambda: take(dump.run(command)))
        except TooLongError:
            self.forget(dump)
            raise

    def forget(self, dump: Dump) -> None:
        """Close a dump whose session was left in the middle of something: it is opened anew when it is asked next."""
        self._open = OrderedDict((key, each) for key, each in self._open.items() if each is not dump)
        dump.close()


def _lines(answer: Answer) -> List[str]:
    return answer.lines


def _bounded(answer: Answer) -> Dict[str, Any]:
    """An answer's command and data. Raises CommandError where it is too long to hand out."""
    record = {"command": answer.command, "data": answer.data}
    length = len(dumps(record))
    if length > MOST_CHARACTERS:
        raise CommandError(
            f"the answer has {length:,} characters as JSON: narrow the command, or ask `run_text` for pages"
        )
    return record


def make_server(symbols: Optional[str] = None, offline: bool = False, limit: float = LIMIT) -> MCPServer[Any]:
    """The server with its tools. Raises CommandError where the package `mcp` is missing."""
    try:
        from mcp.server.mcpserver import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError as error:
        raise CommandError(
            "dumpkit mcp needs the package mcp (Python 3.10 and later): pip install 'dumpkit[mcp]'"
        ) from error

    server: MCPServer[Any] = MCPServer("dumpkit", instructions=_INSTRUCTIONS, version=__version__)
    opened = Dumps(symbols, offline, limit)

    def ask(dump: str, command: str, symbols: Optional[str], take: Callable[[Answer], _Taken]) -> _Taken:
        try:
            with opened.lock:
                return opened.ask(dump, command, symbols, take)
        except DumpkitError as error:
            raise ToolError(str(error)) from error

    @server.tool()
    def analyze(dump: str, symbols: Optional[str] = None) -> Dict[str, Any]:
        """Why the machine stopped: bugcheck, failing context, stack, blamed module, bucket, IRQL verdict, evidence.

        dump: the path of a dump file. symbols: a symbol path in WinDbg's syntax.
        """
        return ask(dump, "analyze -v", symbols, _bounded)

    @server.tool()
    def run(dump: str, command: str, symbols: Optional[str] = None) -> Dict[str, Any]:
        """Run one WinDbg command on a dump ("k", "t ffff…", "pool ffff…", "lm", "dt nt!_EPROCESS ffff…"); its data."""
        return ask(dump, command, symbols, _bounded)

    @server.tool()
    def run_text(
        dump: str, command: str, symbols: Optional[str] = None, first_line: int = 0, lines: int = _LINES
    ) -> Dict[str, Any]:
        """Run one WinDbg command; lines of the text that WinDbg would show, from `first_line` (0) on."""
        found = ask(dump, command, symbols, _lines)
        start, end = max(first_line, 0), max(first_line, 0) + max(min(lines, _LINES), 1)
        return {"command": command, "lines": found[start:end], "first_line": start, "all_lines": len(found)}

    @server.tool()
    def commands(name: Optional[str] = None) -> List[Dict[str, str]]:
        """The commands there are, or the help of the one that is named."""
        try:
            return command_list(name)
        except DumpkitError as error:
            raise ToolError(str(error)) from error

    return server


def command_list(name: Optional[str] = None) -> List[Dict[str, str]]:
    """Synopsis and summary of every command that may be run; with the whole help text for the one named.

    Raises CommandError where none has that name.
    """
    from dumpkit.dispatcher import load_all

    found = [command for command in load_all().values() if command.name not in REFUSED]
    if name is None:
        return [{"usage": command.synopsis, "summary": command.summary} for command in found]
    wanted = name.lstrip("!").lower()
    named = [
        {"usage": command.synopsis, "summary": command.summary, "help": command.help}
        for command in found
        if wanted in (known.lower().lstrip("!") for known in (command.name, *command.aliases))
    ]
    if not named:
        raise CommandError(f"No such command: {name}")
    return named


def main(words: Sequence[str], output: Output) -> int:
    """The call `dumpkit mcp [-y PATH] [--offline]`; the exit status. Raises CommandError."""
    values, others = read_call("mcp", words)
    if others:
        raise CommandError(f"dumpkit mcp takes no {others[0]}: its client names the dumps", usage("mcp"))
    limit = read_number(values, "limit", "--limit", "mcp", LIMIT)
    make_server(values.get("symbols"), values.get("offline", False), limit).run("stdio")
    return 0
