"""Timers in the processors' tables: when they are due, and whom they call or wake.

Layout: _KPRCB.TimerTable and _KTIMER in the kernel's symbols. Since Windows 10 a processor has two tables of 256 lists,
one for timers of high precision, before that one. A timer's pointer to its DPC is mixed with KiWaitNever, KiWaitAlways
and the timer's address, as public tools undo it (Volatility's timers plugin): the value is exclusive-ored with
KiWaitNever, rotated left by its low byte, exclusive-ored with the timer's address, its bytes turned round, and
exclusive-ored with KiWaitAlways.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.kernel.ticks import KI_USER_SHARED_DATA
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects import Array
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Tuple

#: Timers in one list: a longer one is damaged.
_MOST_TIMERS = 100_000
#: The tables in their order, and what the debugger calls them.
KINDS = ("High precision", "Standard")
#: Bytes of a table's lists that are read at once.
_MOST_LIST_BYTES = 1 << 20


class Clock(NamedTuple):
    """The time that timers are due in, and the time of day at that moment, in 100 ns units; FILETIME the latter."""

    interrupt_time: int
    system_time: int
    #: False where the uptime in the dump's header stands for the interrupt time.
    exact: bool = True


class QueuedTimer(NamedTuple):
    """A KTIMER in a list; addresses are virtual."""

    address: int
    #: The list that it is in.
    hand: int
    #: Interrupt time, in 100 ns units; with bit 63 set it never fires.
    due: int
    #: Milliseconds, 0 where it fires once.
    period: int
    #: The DPC that it queues, or 0; None where the pointer leads nowhere.
    dpc: Optional[int]
    routine: Optional[int]
    #: The first thread that waits for it, or 0.
    thread: int


class TimerTable(NamedTuple):
    """A table of a processor's timers; `damage` are the lists that are not whole, as clauses."""

    processor: int
    #: One of KINDS; None where there is only one table.
    kind: Optional[str]
    #: Virtual address of the _KTIMER_TABLE.
    address: int
    timers: List[QueuedTimer]
    damage: List[str]


class DpcPointers:
    """Undoes what KTIMER.Dpc is mixed with; the keys are read once."""

    def __init__(self, target: Target) -> None:
        self._keys: Optional[Tuple[int, int]] = None
        #: Why the pointers cannot be decoded, as a clause, or None.
        self.problem: Optional[str] = None
        try:
            never = target.symbols.address_of("nt!KiWaitNever")
            always = target.symbols.address_of("nt!KiWaitAlways")
        except SymbolError:
            # A Windows without them does not mix the pointer.
            return
        try:
            self._keys = target.memory.u64(never), target.memory.u64(always)
        except MemoryReadError as error:
            self.problem = f"KiWaitNever and KiWaitAlways, which they are mixed with, cannot be read: {error.reason}"

    def decode(self, timer: int, value: int) -> Optional[int]:
        """The virtual address of a timer's DPC, 0 where it has none; None where the value leads nowhere."""
        if not value:
            return 0
        if self.problem is not None:
            return None
        if self._keys is not None:
            never, always = self._keys
            shift = never & 0x3F
            mixed = value ^ never
            mixed = (mixed << shift | mixed >> (64 - shift)) & U64_MASK
            found = int.from_bytes((mixed ^ timer).to_bytes(8, "little"), "big") ^ always
            if not found or _is_kernel(found):
                return found
        return value if _is_kernel(value) else None


def _is_kernel(address: int) -> bool:
    return address >> 47 == 0x1FFFF and not address & 7


def clock(target: Target) -> Optional[Clock]:
    """Interrupt time and time of day of KUSER_SHARED_DATA; the header's uptime for the first where that is missing.

    None where the dump holds neither.
    """
    try:
        shared = target.type("_KUSER_SHARED_DATA").at(KI_USER_SHARED_DATA)
        return Clock(_system_time(shared.InterruptTime), _system_time(shared.SystemTime))
    except (SymbolError, MemoryReadError):
        system = target.system
        if system.uptime is None or system.system_time is None:
            return None
        return Clock(system.uptime, system.system_time, False)


def _system_time(record: Any) -> int:
    """A KSYSTEM_TIME (ntddk.h) in 100 ns units."""
    return int(record.LowPart) | (int(record.High1Time) & 0xFFFF_FFFF) << 32


def timer_tables(target: Target, processor: int) -> Iterator[TimerTable]:
    """The tables of a processor. Raises DumpkitError where it has none, or they cannot be read."""
    prcb = target.type("_KPRCB").at(target.prcb_address(processor))
    table = prcb.TimerTable
    lists: Array = table.TimerEntries
    pointers = DpcPointers(target)
    first = lists.element(0)
    if isinstance(first, Array):
        for number, kind in enumerate(KINDS[: len(lists)]):
            yield _table(target, pointers, processor, kind, table.address, lists.element(number))
    else:
        yield _table(target, pointers, processor, None, table.address, lists)


def _table(
    target: Target, pointers: DpcPointers, processor: int, kind: Optional[str], address: int, lists: Array
) -> TimerTable:
    timers: List[QueuedTimer] = []
    damage: List[str] = [] if pointers.problem is None else [f"pointers to DPCs: {pointers.problem}"]
    entry = target.type("_KTIMER_TABLE_ENTRY")
    offset, step = entry.offset("Entry"), entry.size
    size = len(lists) * step
    if size > _MOST_LIST_BYTES:
        raise DumpkitError(f"the timer table at {address:016x} is too large to be one")
    data = target.memory.read(lists.address, size)
    for hand in range(len(lists)):
        head = lists.address + hand * step + offset
        at = hand * step + offset
        first = int.from_bytes(data[at : at + 8], "little")
        # Zeros are lists of a processor that never started its clock.
        if first in (0, head):
            continue
        walk = target.list(head, "_KTIMER", "TimerListEntry", _MOST_TIMERS)
        for record in walk:
            try:
                timers.append(_timer(target, pointers, hand, record))
            except MemoryReadError as error:
                damage.append(f"timer {record.address:016x}: {error.reason}")
        if not walk.complete:
            damage.append(f"list {hand}: {walk.ended}")
    return TimerTable(processor, kind, address, timers, damage)


def _timer(target: Target, pointers: DpcPointers, hand: int, record: Any) -> QueuedTimer:
    from dumpkit.kernel.dpc import dpc_at

    dpc = pointers.decode(record.address, int(record.Dpc))
    return QueuedTimer(
        record.address,
        hand,
        int(record.DueTime.QuadPart) & U64_MASK,
        int(record.Period),
        dpc,
        dpc_at(target, dpc).routine if dpc else None,
        0 if dpc else _first_waiter(target, record),
    )


def _first_waiter(target: Target, record: Any) -> int:
    """The thread whose wait block is the first in the timer's list, or 0."""
    walk = target.list(record.address_of("Header.WaitListHead"), "_KWAIT_BLOCK", "WaitListEntry", 1)
    for block in walk:
        return int(block.get("Thread") or 0)
    return 0
