"""The processors of the target: their KPRCBs, and what a debugger learns from these without symbols.

KiProcessorBlock is an array of pointers to KPRCBs; the offsets in a KPRCB, KTHREAD and EPROCESS that are
needed come from the debugger data block, hence fit the kernel that crashed.
"""

from __future__ import annotations

from struct import unpack_from

from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.kernel.debugger_data import DebuggerData
from dumpkit.memory import AddressSpace
from dumpkit.registers import X64, Architecture, Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

#: Windows runs on no more logical processors than this.
MOST_PROCESSORS = 2048

#: Register -> (offset, size in bytes) in x64's _KSPECIAL_REGISTERS, public symbols of ntoskrnl (the same since
#: Windows Vista). A KDESCRIPTOR is six bytes of padding, a 16-bit limit and a base.
_SPECIAL_REGISTERS: Tuple[Tuple[str, int, int], ...] = (
    ("cr0", 0x0, 8),
    ("cr2", 0x8, 8),
    ("cr3", 0x10, 8),
    ("cr4", 0x18, 8),
    ("dr0", 0x20, 8),
    ("dr1", 0x28, 8),
    ("dr2", 0x30, 8),
    ("dr3", 0x38, 8),
    ("dr6", 0x40, 8),
    ("dr7", 0x48, 8),
    ("gdtl", 0x56, 2),
    ("gdtr", 0x58, 8),
    ("idtl", 0x66, 2),
    ("idtr", 0x68, 8),
    ("tr", 0x70, 2),
    ("ldtr", 0x72, 2),
    ("cr8", 0xA0, 8),
)
_SPECIAL_REGISTERS_SIZE = 0xA8
_WORDS = {2: "<H", 8: "<Q"}


class Processors:
    """The processors of a kernel, by number.

    Every method raises DumpkitError (MemoryReadError for memory that the target does not hold).
    """

    def __init__(self, memory: AddressSpace, data: DebuggerData, architecture: Architecture, count: int) -> None:
        self._memory = memory
        self._data = data
        self._architecture = architecture
        self.count = min(count, MOST_PROCESSORS)

    def prcb(self, number: int) -> int:
        """The virtual address of a processor's KPRCB."""
        if not 0 <= number < self.count:
            raise DumpkitError(f"{number} is not a valid processor number")
        address = self._memory.u64(self._data.require("KiProcessorBlock") + 8 * number)
        if not address:
            raise DumpkitError(f"processor {number} was not started: KiProcessorBlock has no KPRCB for it")
        return address

    def number(self, prcb: int) -> int:
        """The number of the processor whose KPRCB is at a virtual address."""
        return self._memory.u32(prcb + self._data.require("OffsetPrcbNumber"))

    def thread(self, prcb: int) -> int:
        """The virtual address of the thread (KTHREAD, ETHREAD) that ran on the processor of a KPRCB."""
        return self._memory.u64(prcb + self._data.require("OffsetPrcbCurrentThread"))

    def process(self, thread: int) -> int:
        """The virtual address of the process (KPROCESS, EPROCESS) in whose address space a thread ran."""
        return self._memory.u64(thread + self._data.require("OffsetKThreadApcProcess"))

    def context(self, prcb: int) -> Context:
        """The registers that the processor of a KPRCB saved when it was stopped.

        They lie in the CONTEXT to which the KPRCB points, or in its own ProcessorState where Windows
        did not stop it that way. Special registers (cr3, gdtr …) come with them.
        """
        record = self._context_record(prcb)
        return self.with_special_registers(Context.from_bytes(self._architecture, record), prcb)

    def _context_record(self, prcb: int) -> bytes:
        size = self._architecture.context_size
        pointer_offset = self._data["OffsetPrcbContext"]
        if pointer_offset:
            pointer = self._memory.u64_optional(prcb + pointer_offset)
            record = self._memory.read_optional(pointer, size) if pointer else None
            if record is not None:
                return record
        return self._memory.read(prcb + self._data.require("OffsetPrcbProcStateContext"), size)

    def with_special_registers(self, context: Context, prcb: int) -> Context:
        """The context with the special registers that a KPRCB holds, as far as the target has them (x64)."""
        offset = self._data["OffsetPrcbProcStateSpecialReg"]
        if self._architecture is not X64 or not offset:
            return context
        data = self._memory.read_optional(prcb + offset, _SPECIAL_REGISTERS_SIZE)
        if data is None:
            return context
        values = dict(context.values)
        for name, place, size in _SPECIAL_REGISTERS:
            values[name] = unpack_from(_WORDS[size], data, place)[0]
        found = Context(self._architecture, values)
        found.x87 = context.x87
        return found

    def find(self, stack_pointer: int) -> Optional[int]:
        """The number of the processor that saved this stack pointer, or None where none did."""
        for number in range(self.count):
            try:
                record = self._context_record(self.prcb(number))
            except DumpkitError:
                continue
            if Context.from_bytes(self._architecture, record).stack_pointer == stack_pointer:
                return number
        return None


def build_lab(memory: AddressSpace, data: DebuggerData) -> Optional[str]:
    """NtBuildLab ("19041.1.amd64fre.vb_release.191206-1406"), or None where the target does not hold it."""
    address = data["NtBuildLab"]
    text = memory.read_prefix(address, 0x100).split(b"\0", 1)[0] if address else b""
    if not text or any(not 0x20 <= c < 0x7F for c in text):
        return None
    return text.decode("ascii")


def service_pack(memory: AddressSpace, data: DebuggerData) -> int:
    """CmNtCSDVersion, or 0 where the target does not hold it."""
    address = data["CmNtCSDVersion"]
    try:
        return memory.u32(address) if address else 0
    except MemoryReadError:
        return 0
