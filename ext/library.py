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
import os
from threading import RLock

from dumpkit.command_line import split_commands
from dumpkit.dispatcher import Dispatcher, parse_call
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.output import Output, data, plain
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, NoReturn, Optional, Sequence, Tuple, Union

    from dumpkit.dispatcher import Call
    from dumpkit.kernel.process import Process
    from dumpkit.kernel.thread_sweep import ProcessSweep, ThreadSweep
    from dumpkit.memory import AddressSpace
    from dumpkit.module import Module
    from dumpkit.objects import BoundType
    from dumpkit.objects.lists import ListWalk
    from dumpkit.target import Bugcheck, Target
    from typing_extensions import TypeAlias

    Path: TypeAlias = "Union[str, os.PathLike[str]]"


class Answer:
    """What a command found: as the command's own dataclass, as JSON's values, as text."""

    def __init__(self, dispatcher: Dispatcher, turn: RLock, call: Call, result: Any) -> None:
        self._dispatcher = dispatcher
        self._turn = turn
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
        with self._turn:
            return [plain(line) for line in self._dispatcher.render(self._call, self.result)]

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "".join(f"{line}\n" for line in self.lines)

    def __repr__(self) -> str:
        return f"<Answer of {self.command}: {type(self.result).__name__}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from html import escape

        return f"<pre>{escape(self.text)}</pre>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Answer belongs to its open dump: .result, .data and .lines can be pickled")

    def __str__(self) -> str:
        return self.text


class Dump:
    """An open dump with a session of its own: what `.trap` or `~2s` make current holds for the next `run`.

    Pickled, as by multiprocessing, it is its path: the other side opens it anew.
    """

    def __init__(self, target: Target, symbols: Optional[str] = None, offline: bool = False) -> None:
        self._target = target
        self._symbols, self._offline = symbols, offline
        self._is_closed = False
        #: A session is for one command at a time.
        self._turn = RLock()
        self.session = Session(Output(io.StringIO()), target)
        self._dispatcher = Dispatcher(self.session)

    @property
    def target(self) -> Target:
        """What the kernel model works on. Raises DumpkitError once the dump is closed."""
        self._refuse_if_closed()
        return self._target

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise DumpkitError(f"{self._target.name} was closed")

    def run(self, command: str) -> Answer:
        """The answer to one command as a person types it: "k", "!pool ffff8009…", "dt nt!_EPROCESS @$proc".

        Raises CommandError for several commands at once, DumpkitError where the command fails.
        """
        self._refuse_if_closed()
        commands = split_commands(self.session.aliases.expand(command))
        if len(commands) != 1:
            words = f"one command at a time: {command!r} holds {len(commands)}" if commands else "a command is missing"
            raise CommandError(words)
        call = parse_call(commands[0])
        with self._turn:
            return Answer(self._dispatcher, self._turn, call, self._dispatcher.call(call))

    def type(self, name: str) -> BoundType:
        """A type of the kernel ("_EPROCESS") or of a module ("ndis!_NDIS_PACKET"); `.at(address)` gives an object."""
        return self.target.type(name)

    def evaluate(self, expression: str) -> int:
        """The value of a MASM expression: "nt!KiProcessorBlock", "@rsp+8", "poi(@$thread)"."""
        self._refuse_if_closed()
        return self.session.evaluate(expression)

    def symbol(self, address: int) -> Optional[str]:
        """The name of a virtual address, "nt!KiPageFault+0x474"; None outside every image."""
        place = self.target.symbols.nearest(address)
        return str(place) if place is not None else None

    def list(self, head: Union[int, str], type: str, member: str) -> ListWalk:
        """The records of a kernel list, by the address of its head or its name, and the link's `member` in `type`.

            for process in dump.list("nt!PsActiveProcessHead", "_EPROCESS", "ActiveProcessLinks"):

        A list that is damaged ends where it is: the walk's `complete` and `ended` tell.
        """
        address = self.evaluate(head) if isinstance(head, str) else head
        return self.target.list(address, type, member)

    @property
    def bugcheck(self) -> Optional[Bugcheck]:
        """The stop code and its four parameters; None where the machine did not stop by itself."""
        return self.target.bugcheck

    @property
    def memory(self) -> AddressSpace:
        """The virtual memory of the current process and the kernel."""
        return self.target.memory

    @property
    def modules(self) -> Sequence[Module]:
        """The loaded images, ascending by base address."""
        return self.target.modules

    def processes(self) -> ProcessSweep:
        """The processes of the kernel's list, System first; `problems` then says why there may be more."""
        from dumpkit.kernel.thread_sweep import ProcessSweep

        return ProcessSweep(self.target, with_idle=False)

    def process(self, which: Union[int, str]) -> Optional[Process]:
        """The first process of an id or a name ("lsass.exe", "lsass"); None where there is none."""
        from dumpkit.kernel.process import find_process

        return find_process(self.target, which)

    def threads(self) -> ThreadSweep:
        """The threads of every process of the kernel's list; `problems` then says which could not be found."""
        from dumpkit.kernel.thread_sweep import ThreadSweep

        return ThreadSweep(self.target)

    def close(self) -> None:
        """Let go of the dump and of its symbol files; whatever is asked of it afterwards is an error."""
        if not self._is_closed:
            self.session.close_log()
            self._target.close()
            self._is_closed = True

    def __enter__(self) -> Dump:
        return self

    def __reduce__(self) -> Tuple[Any, ...]:
        return open_dump, (self._target.name, self._symbols, self._offline)

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Dump {self._target.name}: {'closed' if self._is_closed else self._target.kind}>"


def open_dump(path: Path, symbols: Union[Path, Sequence[Path], None] = None, offline: bool = False) -> Dump:
    """Open a dump, or the only one in a folder: `dumpkit.open`, which says more."""
    from dumpkit.dump import open_dump as open_target

    places = [symbols] if symbols is None or isinstance(symbols, (str, os.PathLike)) else symbols
    symbol_path = ";".join(os.fspath(place) for place in places if place is not None) or None
    return Dump(open_target(os.fspath(path), symbol_path, offline), symbol_path, offline)
