"""`.thread` and `.process`: which thread and which process are current."""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError, MemoryReadError
from dumpkit.kernel.process import Process
from dumpkit.kernel.thread import THREAD_OBJECT, Thread
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, Switch, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

_LIVE_ONLY = "This operation only works on live kernel debug sessions"


class Implicit(Record):
    """The thread and the process that are current from now on, each None where the command left it alone."""

    thread: Optional[Hex]
    process: Optional[Hex]
    #: Whether the registers of a thread became current.
    is_set_context: bool = False
    #: How many images of user mode were found for `lm` and for names; None where they were not looked for.
    user_modules: Optional[int] = None
    #: What could not be done, and why.
    note: Optional[str] = None


def _implicit_lines(result: Implicit) -> Iterator[Line]:
    if result.thread is not None:
        yield ("Implicit thread is now ", Span(quoted(result.thread), "address", f"t {result.thread:x}"))
    if result.process is not None:
        yield ("Implicit process is now ", Span(quoted(result.process), "address", f"process {result.process:x}"))
    if result.user_modules is not None:
        yield "Loading User Symbols"
    if result.note is not None:
        yield (Span(result.note, "warning"),)


def _check_thread(session: Session, address: int) -> None:
    """Raise CommandError where no thread is at a virtual address."""
    try:
        # DISPATCHER_HEADER (ntddk.h) begins with the type; a thread begins with one.
        kind = session.dump.memory.u8(address)
    except MemoryReadError as error:
        raise CommandError(f"Cannot read thread type from thread {quoted(address)}: {error.reason}") from error
    if kind & 0x7F != THREAD_OBJECT:
        raise CommandError(f"Invalid thread @ {quoted(address)} type - context unchanged.")


def _use_process(session: Session, address: int) -> Optional[str]:
    """Make a process current; why memory is not read through its page tables, or None. Raises CommandError."""
    target = session.dump
    if target.physical is None:
        session.process = address
        return "The dump has no page tables: memory is read as before."
    if address == _own_process_or_none(session):
        session.select_process(address)
        return None
    try:
        root = Process(target, address).directory_table_base
    except DumpkitError as error:
        raise CommandError(f"Process {quoted(address)} has invalid page directories: {error}") from error
    try:
        session.select_process(address, root)
    except DumpkitError as error:
        session.select_process(None)
        session.process = address
        return f"Memory is read through the page tables of the processor's process: {error}."
    return None


def _load_user_modules(session: Session, process: int) -> Tuple[int, Optional[str]]:
    """Count the images of a process's user mode among the modules: how many there are, and why not (all) of them."""
    from dumpkit.kernel.user_modules import UserModules, user_modules

    try:
        found = user_modules(Process(session.dump, process))
    except DumpkitError as error:
        found = UserModules((), str(error))
    session.dump.use_user_modules(found.modules)
    return len(found.modules), f"No or not all user modules: {found.problem}" if found.problem else None


def _own_process_or_none(session: Session) -> Optional[int]:
    try:
        return _own_process(session)
    except DumpkitError:
        return None


@command(
    ".thread",
    category="Stack",
    summary="The registers of a thread become current",
    arguments=(
        Switch("with_process", ("/p",), "its process becomes current too: its user memory is read"),
        Switch("reload", ("/r",), "the images of its user mode are listed and named too"),
        Expression("address", "the thread; without it, the processor's own"),
    ),
    render=_implicit_lines,
)
def thread(
    session: Session, with_process: bool = False, reload: bool = False, address: Optional[int] = None
) -> Implicit:
    """Makes a thread current: r and k show its registers and its stack, @$thread is its address.

    Of a thread that was not running, the registers that were saved when it stopped are known: k needs no more.
    Without an address, and with ~Ns, the processor's thread is current again.
    """
    target = session.dump
    context = None
    if address:
        _check_thread(session, address)
        context = Thread(target, address).context() if address != _own_thread(session) else None
    chosen = address or target.thread_address(session.processor)
    process, note = None, None
    if with_process:
        process = int(Thread(target, chosen).tcb.member("ApcState.Process")) if address else _own_process(session)
        note = _use_process(session, process)
    session.reset_context()
    session.thread = chosen if address else None
    if context is not None:
        session.set_context(context.zero_filled())
    count = None
    if reload:
        count, problem = _load_user_modules(session, process if process is not None else session.process_address)
        note = note or problem
    return Implicit(Hex(chosen), Hex(process) if process is not None else None, context is not None, count, note)


def _own_thread(session: Session) -> Optional[int]:
    """The thread whose registers are the processor's."""
    try:
        return session.dump.thread_address(session.processor)
    except DumpkitError:
        return None


def _own_process(session: Session) -> int:
    return session.dump.process_address(session.processor)


@command(
    ".process",
    category="Stack",
    summary="The user memory of a process becomes current",
    arguments=(
        Switch("translated", ("/p", "/P"), "accepted: pages in transition are always read"),
        Switch("reload", ("/r",), "the images of its user mode are listed and named too"),
        Switch("invasive", ("/i",), "refused: a dump cannot run on"),
        Expression("address", "the process; without it, the processor's own"),
    ),
    render=_implicit_lines,
)
def process(
    session: Session,
    translated: bool = False,
    reload: bool = False,
    invasive: bool = False,
    address: Optional[int] = None,
) -> Implicit:
    """Makes a process current: its page tables lead to what user addresses hold, @$proc is its address.

    The current thread and its registers stay. Without an address, and with ~Ns, the process that the processor ran is
    current again.
    """
    if invasive:
        raise CommandError(_LIVE_ONLY)
    note = None
    if address:
        note = _use_process(session, address)
    else:
        session.select_process(None)
    chosen, count = address or _own_process(session), None
    if reload:
        count, problem = _load_user_modules(session, chosen)
        note = note or problem
    return Implicit(None, Hex(chosen), False, count, note)
