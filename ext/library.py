"""dumpkit for programs: `dumpkit.open(path)` gives a Dump, whose commands return data.

    import dumpkit

    with dumpkit.open("MEMORY.DMP", symbols="srv*~/symbols*https://…") as dump:
        dump.run("t").data["state"]           # the same names as in `dumpkit --json`
        for thread in dump.threads():         # the kernel model's Thread
            print(thread.tid, thread.wait_reason)
        dump.type("_EPROCESS").at(address).ImageFileName.text()

Every failure is a DumpkitError.
"""

from __future__ import annotations

import io

from dumpkit.dispatcher import Dispatcher, parse_call, split_commands
from dumpkit.errors import CommandError
from dumpkit.output import Output, data, plain
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Sequence

    from dumpkit.dispatcher import Call
    from dumpkit.kernel.process import Process
    from dumpkit.kernel.thread import Thread
    from dumpkit.memory import AddressSpace
    from dumpkit.module import Module
    from dumpkit.objects import BoundType
    from dumpkit.target import Target


class Answer:
    """What a command found: as the command's own dataclass, as JSON's values, as text."""

    def __init__(self, dispatcher: Dispatcher, call: Call, result: Any) -> None:
        self._dispatcher = dispatcher
        self._call = call
        #: The command's frozen dataclass; addresses in it are ints. None where a command has nothing to tell.
        self.result = result

    @property
    def command(self) -> str:
        """The command's name, as `help` lists it."""
        return self._call.command.name

    @property
    def data(self) -> Any:
        """The result as `--json` writes it: dicts, lists, strings; addresses as "0x…"."""
        return data(self.result)

    @property
    def lines(self) -> List[str]:
        """The lines that WinDbg's user would see."""
        return [plain(line) for line in self._dispatcher.render(self._call, self.result)]

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "".join(f"{line}\n" for line in self.lines)

    def __repr__(self) -> str:
        return f"<Answer of {self.command}: {type(self.result).__name__}>"

    def __str__(self) -> str:
        return self.text


class Dump:
    """An open dump with a session of its own: what `.trap` or `~2s` make current holds for the next `run`."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.session = Session(Output(io.StringIO()), target)
        self._dispatcher = Dispatcher(self.session)

    def run(self, command: str) -> Answer:
        """The answer to one command as a person types it: "k", "!pool ffff8009…", "dt nt!_EPROCESS @$proc".

        Raises CommandError for several commands at once, DumpkitError where the command fails.
        """
        commands = split_commands(command)
        if len(commands) != 1:
            raise CommandError(f"one command at a time: {command!r} holds {len(commands)}")
        call = parse_call(commands[0])
        return Answer(self._dispatcher, call, self._dispatcher.call(call))

    def type(self, name: str) -> BoundType:
        """A type of the kernel ("_EPROCESS") or of a module ("ndis!_NDIS_PACKET"); `.at(address)` gives an object."""
        return self.target.type(name)

    def evaluate(self, expression: str) -> int:
        """The value of a MASM expression: "nt!KiProcessorBlock", "@rsp+8", "poi(@$thread)"."""
        return self.session.evaluate(expression)

    @property
    def memory(self) -> AddressSpace:
        """The virtual memory of the current process and the kernel."""
        return self.target.memory

    @property
    def modules(self) -> Sequence[Module]:
        """The loaded images, ascending by base address."""
        return self.target.modules

    def processes(self) -> Iterator[Process]:
        """The processes of the kernel's list, System first."""
        from dumpkit.kernel.process import processes

        return iter(processes(self.target))

    def threads(self) -> Iterator[Thread]:
        """The threads of every process of the kernel's list."""
        for process in self.processes():
            yield from process.threads()

    def close(self) -> None:
        """Let go of the dump and of its symbol files."""
        self.session.close_log()
        self.target.close()

    def __enter__(self) -> Dump:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Dump {self.target.name}: {self.target.kind}>"


def open_dump(path: str, symbols: Optional[str] = None, offline: bool = False) -> Dump:
    """Open a dump, or the only one in a folder.

    `symbols` is a symbol path in WinDbg's syntax, looked in before _NT_SYMBOL_PATH; `offline` asks no server,
    whatever the path says. Raises DumpkitError for a file that cannot be read, DumpFormatError for no dump.
    """
    from dumpkit.dump import open_dump as open_target

    return Dump(open_target(path, symbols, offline))
