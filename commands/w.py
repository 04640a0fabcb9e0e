"""`w` (mex): where the session is: process, thread, frame."""

from __future__ import annotations

from dumpkit.commands.process_row import session_number
from dumpkit.commands.t_lines import UNKNOWN, hexadecimal_cell, thread_link
from dumpkit.commands.thread_row import display_name, problem_lines, process_span
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process
from dumpkit.kernel.thread import Thread
from dumpkit.output import Hex, Line, hex_or_none
from dumpkit.record import Record
from dumpkit.registry import command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple


class Whereabouts(Record):
    """The current context; addresses are virtual, what cannot be read is None."""

    session: Optional[int]
    #: The process whose address space is current, which the thread may only be attached to.
    process: Optional[Hex]
    process_name: Optional[str]
    thread: Optional[Hex]
    #: The process that the thread belongs to.
    owner: Optional[Hex]
    owner_name: Optional[str]
    pid: Optional[Hex]
    tid: Optional[Hex]
    frame: int
    teb: Optional[Hex]
    processor: int
    problems: Tuple[str, ...]


def whereabouts_lines(result: Whereabouts) -> Iterator[Line]:
    yield f"Session: {UNKNOWN if result.session is None else result.session}"
    if result.process is None:
        yield f"Process: {UNKNOWN}"
    else:
        address = process_span(result.process, f"{result.process:016x}")
        yield ("Process: ", address, f" {result.process_name or UNKNOWN}")
    if result.thread is None:
        yield f"Thread:  {UNKNOWN}"
    else:
        owner = process_span(result.owner, f" {result.owner:016x}") if result.owner is not None else ""
        yield ("Thread:  ", thread_link(result.thread), f" {result.owner_name or UNKNOWN}", owner)
    yield f"Pid: {hexadecimal_cell(result.pid)}"
    yield f"Tid: {hexadecimal_cell(result.tid)}"
    yield f"Frame: {result.frame}"
    yield f"Teb: {hexadecimal_cell(result.teb)}"
    yield f"Dbgid: {result.processor} (Debugger thread ID in usermode / Processor ID in kernelmode)"
    yield from problem_lines(result.problems)


@command("w", category="Kernel", summary="Where am I: process, thread, frame", render=whereabouts_lines)
def w(session: Session) -> Whereabouts:
    """Shows the current process, thread and frame: those of the processor, or what .process, .thread and .frame chose.

    Pid is that of the process whose address space is current; a thread that is attached there belongs to another one.
    """
    target = session.dump
    gaps = Gaps()
    read = gaps.read
    place = read("the current process", lambda: session.process_address)
    process = Process(target, place) if place else None
    address = read("the current thread", lambda: session.thread_address)
    thread = Thread(target, address) if address else None
    owner: Optional[Process] = read("the thread's process", lambda: thread.process) if thread is not None else None
    return Whereabouts(
        read("the current process", lambda: session_number(process)) if process is not None else None,
        hex_or_none(place),
        read("the current process", lambda: display_name(process)) if process is not None else None,
        hex_or_none(address),
        Hex(owner.address) if owner is not None else None,
        read("the thread's process", lambda: display_name(owner)) if owner is not None else None,
        hex_or_none(read("the current process", lambda: process.pid)) if process is not None else None,
        hex_or_none(read("the current thread", lambda: thread.tid)) if thread is not None else None,
        session.frame,
        hex_or_none(read("the current thread", lambda: thread.teb)) if thread is not None else None,
        session.processor,
        gaps.lines(),
    )
