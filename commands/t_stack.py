"""The stack of a thread as `t` shows it: rows of frames and inlined functions, and what is known of some."""

from __future__ import annotations

import re

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.kernel.named_frame import named_frames
from dumpkit.kernel.process import Process
from dumpkit.kernel.thread import Thread
from dumpkit.kernel.whole_stack import whole_stack
from dumpkit.output import Hex, Line
from dumpkit.record import Record
from dumpkit.registers import Context
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

#: The kernel's functions that wait for an executive resource.
_ACQUIRES_RESOURCE = re.compile(r"nt!Ex\w*Acquire(Resource|Shared|Exclusive)\w*")


class StackRow(Record):
    """A frame, or a function inlined in the frame below; addresses are virtual."""

    number: int
    child_sp: Hex
    return_address: Hex
    instruction: Hex
    call_site: str
    module: Optional[str]
    source: Optional[str]
    is_inline: bool
    found_by: str
    #: Bytes between this frame's stack pointer and its caller's; None of the last one and of inlined functions.
    size: Optional[int]
    #: What is known of what the function does here.
    info: str = ""

    @property
    def function(self) -> str:
        """The call site without the distance into the function."""
        return self.call_site.rpartition("+0x")[0] or self.call_site


class ThreadStack(Record):
    """The stack of a thread; `problem` says why it has none."""

    frames: Tuple[StackRow, ...]
    problem: Optional[str] = None
    _is_clean: bool = False
    _hides_source: bool = False
    _shows_size: bool = False


def stack_rows(thread: Thread, context: Context, info: str = "") -> List[StackRow]:
    """The rows of a context's stack, user mode's included where its pages are there.

    `info` is told beside the frame that waits for an executive resource.
    """
    sided = whole_stack(thread, context)
    following = {id(each.frame): after.frame for each, after in zip(sided, sided[1:])}
    rows: List[StackRow] = []
    for named in (named for each in sided for named in named_frames(each.target, [each.frame])):
        frame = named.frame
        after = following.get(id(frame))
        size = None if after is None or named.is_inline else after.stack_pointer - frame.stack_pointer
        tells = bool(info) and not named.is_inline and _ACQUIRES_RESOURCE.match(named.name) is not None
        rows.append(
            StackRow(
                len(rows),
                Hex(frame.stack_pointer),
                Hex(frame.return_address),
                Hex(frame.instruction_pointer),
                named.name,
                named.module,
                named.source,
                named.is_inline,
                frame.found_by,
                # Between the kernel's stack and user mode's there is no distance.
                size if size is not None and 0 <= size < 1 << 24 else None,
                info if tells else "",
            )
        )
        if tells:
            info = ""
    return rows


def resource_info(thread: Thread) -> str:
    """Who owns the resource that a thread waits for, as mex says it; "" where it waits for none, or none is found."""
    try:
        if thread.wait_reason != "WrResource" or thread.state != "Waiting":
            return ""
        from dumpkit.kernel.lock_survey import LockSurvey
        from dumpkit.kernel.obstacle import resource_obstacle
        from dumpkit.kernel.wait import wait_blocks

        objects = tuple(block.object for block in wait_blocks(thread).blocks)
        cause = resource_obstacle(thread, objects, LockSurvey(thread.target))
    except (MemoryReadError, SymbolError):
        return ""
    if cause is None:
        return ""
    how = "exclusive" if cause.note.startswith("owned exclusively") else "shared"
    owners = [f"{owner:016x} ({_process_name(thread.target, owner)})" for owner in cause.owners]
    return f"Thread: {', '.join(owners)} {how} owner of EResource: {cause.object:016x}" if owners else ""


def _process_name(target: Target, thread: int) -> str:
    try:
        process: Process = Thread(target, thread).process
        return process.name
    except DumpkitError:
        return "?"


class RawWord(Record):
    """A word of a stack that is an address in a function."""

    address: Hex
    value: Hex
    symbol: str


def raw_words(thread: Thread) -> Iterator[RawWord]:
    """The words of a thread's stack, from its limit to its base, that point into a function behind its start."""
    target = thread.target
    limit, base = int(thread.tcb.StackLimit), int(thread.tcb.StackBase)
    # A kernel stack has at most a few hundred KB.
    if not 0 < base - limit <= 1 << 20:
        raise DumpkitError(f"The stack from {limit:016x} to {base:016x} is none")
    for start, data in target.memory.extents(limit, base - limit):
        for offset in range(-start % 8, len(data) - 7, 8):
            value = int.from_bytes(data[offset : offset + 8], "little")
            if target.module_at(value) is None:
                continue
            place = target.symbols.nearest(value)
            if place is not None and place.name is not None and place.displacement:
                yield RawWord(Hex(start + offset), Hex(value), str(place))


def raw_line(word: RawWord) -> Line:
    """As `dps` shows a word."""
    from dumpkit.numbers import quoted

    return f"{quoted(word.address)}  {quoted(word.value)} {word.symbol}"
