"""`t` (mex's `!t`): a thread, what it waits for, its requests and its stack; `t -a` why it waits."""

from __future__ import annotations

from dumpkit.commands.t_facts import ThreadFacts, thread_facts
from dumpkit.commands.t_lines import header_lines, irp_lines, priority_lines, size_lines, stack_table, wait_lines
from dumpkit.commands.t_stack import RawWord, ThreadStack, raw_line, raw_words, resource_info, stack_rows
from dumpkit.errors import CommandError, DumpkitError, MemoryReadError
from dumpkit.kernel.thread import Thread, thread_at
from dumpkit.kernel.thread_sweep import find_thread
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registers import Context
from dumpkit.registry import Option, Switch, Word, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

    from dumpkit.commands.wait_lines import WaitAnalysis

#: NTSTATUS of a switch to a thread whose stack is not in memory, as an HRESULT: what mex says of it.
_NO_PAGE_FILE = "d0000147"
#: Kernel addresses begin here: smaller numbers are processors or thread ids.
_LOWEST_ADDRESS = 1 << 32


class ThreadDetails(Record):
    """What `-v` adds; addresses are virtual."""

    start_address: Optional[Hex]
    start_symbol: Optional[str]
    stack_base: Optional[Hex]
    stack_limit: Optional[Hex]
    initial_stack: Optional[Hex]
    kernel_stack: Optional[Hex]
    trap_frame: Optional[Hex]
    ideal_processor: Optional[int]
    io_priority: Optional[int]
    kernel_apc_disable: Optional[int]
    special_apc_disable: Optional[int]
    #: What its program calls it.
    name: Optional[str]


class ThreadReport(Record):
    """What `t` shows; what was not asked for is None."""

    facts: ThreadFacts
    stack: Optional[ThreadStack]
    details: Optional[ThreadDetails] = None
    analysis: Optional[WaitAnalysis] = None
    raw: Optional[Tuple[RawWord, ...]] = None
    #: What cannot be shown at all, and why.
    remarks: Tuple[str, ...] = ()
    _size_summary: bool = False
    _is_verbose: bool = False


def thread_report_lines(result: ThreadReport) -> Iterator[Line]:
    facts, stack = result.facts, result.stack
    is_missing = stack is not None and stack.problem is not None
    if is_missing and not facts.is_stack_resident:
        yield f"Could not switch to thread. Error {_NO_PAGE_FILE}"
    yield from header_lines(facts)
    if result.analysis is not None:
        from dumpkit.commands.wait_lines import wait_analysis_lines

        yield ""
        yield from wait_analysis_lines(result.analysis, result._is_verbose)
    else:
        yield from irp_lines(facts)
        yield from wait_lines(facts)
        yield from priority_lines(facts.priorities)
        if result.details is not None:
            yield from _detail_lines(result.details)
    if result.raw is not None:
        yield ""
        yield from map(raw_line, result.raw)
    if stack is not None:
        yield ""
        if stack.problem is not None:
            yield stack.problem
        else:
            yield from stack_table(stack)
            if result._size_summary:
                yield from size_lines(stack)
    if facts.is_terminated:
        yield ""
        yield (Span("Warning!!! Thread is marked as terminated", "warning"),)
    problems = (*result.remarks, *facts.problems)
    if problems:
        yield ""
        for problem in problems:
            yield (Span(problem, "dim"),)


def _detail_lines(details: ThreadDetails) -> Iterator[Line]:
    yield ""
    yield "Details:"
    if details.name is not None:
        yield f"    {'Name:':<24}{details.name}"
    rows = (
        ("Start", details.start_address, details.start_symbol or ""),
        ("Stack base", details.stack_base, ""),
        ("Stack limit", details.stack_limit, ""),
        ("Initial stack", details.initial_stack, ""),
        ("Kernel stack", details.kernel_stack, ""),
        ("Trap frame", details.trap_frame, ""),
    )
    for name, address, words in rows:
        if address is not None:
            yield f"    {name + ':':<24}{address:016x} {words}".rstrip()
    for name, number in (
        ("Ideal processor", details.ideal_processor),
        ("I/O priority", details.io_priority),
        ("KernelApcDisable", details.kernel_apc_disable),
        ("SpecialApcDisable", details.special_apc_disable),
    ):
        if number is not None:
            yield f"    {name + ':':<24}{number}"


def thread_details(thread: Thread) -> ThreadDetails:
    """The rest of what a person may want to know of a thread."""
    tcb = thread.tcb

    def address(name: str) -> Optional[Hex]:
        value = tcb.get(name)
        return None if value is None else Hex(int(value))

    try:
        start: Optional[int] = thread.start_address
    except DumpkitError:
        start = None
    place = thread.target.symbols.nearest(start) if start else None
    return ThreadDetails(
        Hex(start) if start is not None else None,
        str(place) if place is not None else None,
        address("StackBase"),
        address("StackLimit"),
        address("InitialStack"),
        address("KernelStack"),
        address("TrapFrame"),
        thread.ideal_processor,
        thread.io_priority,
        tcb.get("KernelApcDisable"),
        tcb.get("SpecialApcDisable"),
        thread.name,
    )


def thread_number(text: str) -> int:
    """A thread id as mex reads `-t`: decimal, or hexadecimal behind 0x (or with a letter in it)."""
    word = text.lower().replace("`", "")
    try:
        if word.startswith("0n"):
            return int(word[2:], 10)
        if word.startswith("0x"):
            return int(word[2:], 16)
        return int(word, 10) if word.isdigit() else int(word, 16)
    except ValueError:
        raise CommandError(f"t: '{text}' is no thread id", "t [-t TID] [THREAD]") from None


def find_by_id(session: Session, tid: int) -> Thread:
    """The thread of an id. Raises CommandError where no active process has one."""
    thread = find_thread(session.dump, tid)
    if thread is None:
        raise CommandError(f"No thread has the id {tid:x} (0n{tid})")
    return thread


def chosen_thread(session: Session, tid: Optional[str], number: Optional[int]) -> Thread:
    """The thread that the arguments mean: by id, by address, by the processor it runs on; else the current one.

    Raises DumpkitError where that is no thread.
    """
    target = session.dump
    if tid is not None:
        return find_by_id(session, thread_number(tid))
    if number is None:
        return Thread(target, session.thread_address)
    if number < _LOWEST_ADDRESS:
        if number < target.system.processors:
            return Thread(target, target.thread_address(number))
        return find_by_id(session, number)
    return thread_at(target, number)


def _stack(session: Session, thread: Thread, context: Optional[Context], keep: bool) -> ThreadStack:
    """The stack of a thread; its context becomes the session's where `keep` is not said."""
    is_current = thread.address == session.thread_address
    try:
        if context is None:
            context = session.context if is_current else thread.context()
            if not is_current and not keep:
                session.thread = thread.address
                session.set_context(context)
        return ThreadStack(tuple(stack_rows(thread, context, resource_info(thread))))
    except MemoryReadError as error:
        return ThreadStack((), f"The registers of the thread cannot be read: {error.reason}")
    except DumpkitError as error:
        return ThreadStack((), str(error))


@command(
    "t",
    category="Kernel",
    summary="A thread: times, state, requests, waits and stack; -a why it waits",
    arguments=(
        Option("tid", ("-t", "-tid"), "by thread id, decimal or 0x..."),
        Switch("analyze", ("-a",), "why it waits: from owner to owner"),
        Switch("analyze_verbose", ("-av",), "-a with the evidence and the waiting functions"),
        Switch("keep", ("-d",), "leave the current thread as it is"),
        Switch("clean", ("-c",), "function names only"),
        Switch("no_source", ("-l",), "no source lines"),
        Switch("info", ("-i", "-info"), "no stack"),
        Switch("size", ("-f",), "the size of each frame"),
        Switch("size_summary", ("-fv",), "-f, and a summary"),
        Switch("verbose", ("-v", "-verbose"), "start address, stack limits and more"),
        Switch("raw", ("-raw",), "every word of the stack that points into a function, instead of frames"),
        Option("cxr", ("-cxr",), "the stack of this context record", "expression"),
        Switch("windows", ("-w",), "windows of the thread"),
        Word("thread", "address of the thread, the number of a processor, or a thread id"),
    ),
    render=thread_report_lines,
)
def t(
    session: Session,
    tid: Optional[str] = None,
    analyze: bool = False,
    analyze_verbose: bool = False,
    keep: bool = False,
    clean: bool = False,
    no_source: bool = False,
    info: bool = False,
    size: bool = False,
    size_summary: bool = False,
    verbose: bool = False,
    raw: bool = False,
    cxr: Optional[int] = None,
    windows: bool = False,
    thread: Optional[str] = None,
) -> ThreadReport:
    """Shows a thread, the current one where none is given: its process, times and state, the requests it has (IRPs),
    what it waits for, its priorities, and its stack. The thread becomes the current one unless -d is said.

      t                       the current thread
      t ffffb507729e3040      by address
      t -t 0x26ec             by thread id; so does t 26ec
      t -a ffffb507729e3040   why it waits: who owns what it waits for, what that one waits for, and so on,
                              to a thread that runs, a deadlock, a request and the driver that has it, or an end
    """
    # Not an expression that ends where it can: `t 2 -i` is no subtraction.
    found = chosen_thread(session, tid, session.evaluate(thread) if thread is not None else None)
    remarks = ("The windows of a thread cannot be shown: no public symbols describe win32k.",) if windows else ()
    if analyze or analyze_verbose:
        from dumpkit.commands.wait_lines import wait_analysis
        from dumpkit.kernel.wait_chain import wait_chain

        analysis = wait_analysis(wait_chain(found), analyze_verbose)
        return ThreadReport(thread_facts(found), None, analysis=analysis, remarks=remarks, _is_verbose=analyze_verbose)
    context = None
    if cxr is not None:
        from dumpkit.kernel.context_record import context_record

        context = context_record(session.dump, cxr)
    facts = thread_facts(found)
    stack = None
    if not info and not raw:
        stack = _stack(session, found, context, keep)
        stack = ThreadStack(stack.frames, stack.problem, clean, no_source, size or size_summary)
    return ThreadReport(
        facts,
        stack,
        thread_details(found) if verbose else None,
        None,
        tuple(raw_words(found)) if raw else None,
        remarks,
        size_summary,
    )
