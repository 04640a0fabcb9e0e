"""`teb`: a thread's environment block in user mode.

Format: the example of the !teb page in Microsoft's debugger documentation, and public transcripts of x64.
"""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError, MemoryReadError
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process
from dumpkit.kernel.thread import Thread
from dumpkit.numbers import padded
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

#: Line -> member of the _TEB, and how it is written: an address, or a number without zeros in front.
_MEMBERS = (
    ("ExceptionList", "NtTib.ExceptionList", True),
    ("StackBase", "NtTib.StackBase", True),
    ("StackLimit", "NtTib.StackLimit", True),
    ("SubSystemTib", "NtTib.SubSystemTib", True),
    ("FiberData", "NtTib.FiberData", True),
    ("ArbitraryUserPointer", "NtTib.ArbitraryUserPointer", True),
    ("Self", "NtTib.Self", True),
    ("EnvironmentPointer", "EnvironmentPointer", True),
    ("ClientId", "ClientId", True),
    ("RpcHandle", "ActiveRpcHandle", True),
    ("Tls Storage", "ThreadLocalStoragePointer", True),
    ("PEB Address", "ProcessEnvironmentBlock", True),
    ("LastErrorValue", "LastErrorValue", False),
    ("LastStatusValue", "LastStatusValue", False),
    ("Count Owned Locks", "CountOfOwnedCriticalSections", False),
    ("HardErrorMode", "HardErrorMode", False),
)


class TebMember(Record):
    """A member of the block by the name that the debugger shows; None where it cannot be read."""

    name: str
    value: Optional[Hex]


class ThreadEnvironment(Record):
    """A TEB; addresses are the process's."""

    address: Hex
    process: Hex
    pid: Optional[Hex]
    tid: Optional[Hex]
    members: Tuple[TebMember, ...]
    problems: Tuple[str, ...]


def teb_lines(result: ThreadEnvironment) -> Iterator[Line]:
    yield f"TEB at {result.address:016x}"
    for member, (_, _, is_place) in zip(result.members, _MEMBERS):
        head = f"    {member.name + ':':<21} "
        if member.name == "ClientId":
            yield f"{head}{padded(result.pid)} . {padded(result.tid)}"
        elif member.name == "PEB Address" and member.value:
            yield (head, Span(padded(member.value), "address", f"peb {member.value:x}"))
        elif member.name == "LastStatusValue" and member.value:
            yield (head, Span(f"{member.value:x}", None, f"error {member.value:x}"))
        elif is_place or member.value is None:
            yield head + padded(member.value)
        elif member.name == "LastErrorValue":
            yield f"{head}{int(member.value)}"
        else:
            yield f"{head}{member.value:x}"
    for line in result.problems:
        yield (Span(line, "dim"),)


@command(
    "teb",
    category="Kernel",
    summary="A thread's environment block: its user-mode stack, last error and PEB",
    arguments=(Expression("address", "a TEB in the current process; that of the current thread where it is left out"),),
    render=teb_lines,
)
def teb(session: Session, address: Optional[int] = None) -> ThreadEnvironment:
    """Shows the thread environment block of the current thread (`.thread` chooses another) in its process's memory.

    It is user mode's memory, which kernel dumps do not hold; the line then says so.
    """
    target = session.dump
    process = Process(target, session.process_address)
    if address is None:
        thread = Thread(target, session.thread_address)
        address, process = thread.teb, thread.process
    if not address:
        raise CommandError("The thread has no TEB: it has never run in user mode")
    record = target.type("_TEB").over(process.memory).at(address)
    try:
        process.memory.read(address, 1)
    except MemoryReadError as error:
        raise DumpkitError(f"TEB at {address:016x} is not in the dump: {error.reason}") from error
    gaps = Gaps()

    def number(path: str) -> Optional[Hex]:
        value: Optional[int] = gaps.read("the TEB", lambda: int(record.member(path)))
        return None if value is None else Hex(value)

    return ThreadEnvironment(
        Hex(address),
        Hex(process.address),
        number("ClientId.UniqueProcess"),
        number("ClientId.UniqueThread"),
        tuple(TebMember(name, number(path)) for name, path, _ in _MEMBERS),
        gaps.lines(),
    )
