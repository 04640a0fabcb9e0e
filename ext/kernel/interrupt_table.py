"""Interrupt dispatch tables of x64: what each vector leads to, and the drivers' interrupts behind it.

A gate is an _KIDTENTRY64 (Intel SDM volume 3, chapter 6). The kernel's stub of a driver's vector finds its _KINTERRUPT
in KPRCB.InterruptObject; before Windows 8 the gate leads into the _KINTERRUPT itself. Interrupts that share a vector
are linked by InterruptListEntry.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import X64
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Tuple

VECTORS = 256
#: No vector is shared by more interrupts.
_MOST_SHARED = 1000
_GATE_SIZE = 16
_PRESENT = 0x8000
#: Where the 64-bit task state segment has the interrupt stack table (Intel SDM volume 3, 8.7).
_IST = 0x24
#: DISPATCHER_HEADER-like Type of a _KINTERRUPT (_KOBJECTS: InterruptObject).
_INTERRUPT_OBJECT = 22


class Interrupt(NamedTuple):
    """A connected interrupt: its _KINTERRUPT and the routine that services it, virtual addresses."""

    address: int
    routine: int
    #: Whether the routine is the one of a message-signalled interrupt.
    is_message: bool


class Gate(NamedTuple):
    """A vector of a table. `problem` says why its interrupts are not whole, as a clause."""

    vector: int
    handler: int
    #: The interrupt stack table's slot (1 to 7), or 0.
    stack_slot: int
    interrupts: Tuple[Interrupt, ...]
    problem: Optional[str]


def table_address(target: Target, processor: int) -> int:
    """The virtual address of a processor's table. Raises DumpkitError where it is not told, and on another machine."""
    if target.architecture is not X64:
        raise DumpkitError("only x64 has an interrupt dispatch table")
    region = target.type("_KPCR")
    prcb = target.prcb_address(processor)
    place = region.at(prcb - region.offset("Prcb")).get("IdtBase")
    if place:
        return int(place)
    registers = target.context(processor).values
    if registers.get("idtr"):
        return registers["idtr"]
    raise DumpkitError(f"where processor {processor} has its interrupt dispatch table is not in the dump")


def interrupt_stack(target: Target, processor: int, slot: int) -> Optional[int]:
    """The virtual address in a slot (1 to 7) of a processor's interrupt stack table; None where it is not told.

    Raises DumpkitError, MemoryReadError where the task state segment is not in the dump.
    """
    region = target.type("_KPCR")
    task = region.at(target.prcb_address(processor) - region.offset("Prcb")).get("TssBase")
    return target.memory.u64(int(task) + _IST + 8 * (slot - 1)) if task else None


class InterruptTable:
    """The table at a virtual address, of a processor."""

    def __init__(self, target: Target, address: int, processor: int) -> None:
        self.target = target
        self.address = address
        self.processor = processor
        self._prcb: Any = target.type("_KPRCB").at(target.prcb_address(processor))

    @property
    def is_whole(self) -> bool:
        """Whether its last byte is in the dump."""
        return self.target.memory.read_optional(self.address + VECTORS * _GATE_SIZE - 1, 1) is not None

    def gates(self) -> List[Gate]:
        """The gates that are present. Raises MemoryReadError where none of the table is in the dump."""
        memory = self.target.memory
        data = memory.read_prefix(self.address, VECTORS * _GATE_SIZE)
        if len(data) < _GATE_SIZE:
            memory.read(self.address, _GATE_SIZE)
        found = []
        for vector in range(len(data) // _GATE_SIZE):
            gate = data[vector * _GATE_SIZE : (vector + 1) * _GATE_SIZE]
            words = int.from_bytes(gate[4:6], "little")
            handler = int.from_bytes(gate[:2] + gate[6:12], "little")
            if not words & _PRESENT or not handler:
                continue
            interrupts, problem = self._interrupts(vector, handler)
            found.append(Gate(vector, handler, words & 7, tuple(interrupts), problem))
        return found

    def _interrupts(self, vector: int, handler: int) -> Tuple[List[Interrupt], Optional[str]]:
        try:
            first = self._first(vector, handler)
            return self._chain(first) if first else ([], None)
        except DumpkitError as error:
            return [], str(error)

    def _first(self, vector: int, handler: int) -> int:
        try:
            return int(self._prcb.InterruptObject[vector])
        except SymbolError:
            pass
        # The code that the gate leads to lies at the end of the object.
        type = self.target.type("_KINTERRUPT")
        if "DispatchCode" not in type:
            return 0
        place = handler - type.offset("DispatchCode")
        record = type.at(place)
        return place if int(record.Type) == _INTERRUPT_OBJECT and int(record.Vector) == vector else 0

    def _chain(self, first: int) -> Tuple[List[Interrupt], Optional[str]]:
        """An interrupt and those that share its vector."""
        type = self.target.type("_KINTERRUPT")
        record = type.at(first)
        found = [_interrupt(record)]
        head = record.address_of("InterruptListEntry")
        if not int(record.member("InterruptListEntry.Flink")):
            return found, None
        walk = self.target.list(head, "_KINTERRUPT", "InterruptListEntry", _MOST_SHARED)
        found += [_interrupt(each) for each in walk]
        return found, None if walk.complete else walk.ended


def _interrupt(record: Any) -> Interrupt:
    message = int(record.get("MessageServiceRoutine", 0))
    return Interrupt(record.address, message or int(record.ServiceRoutine), bool(message))
