"""Context records: the registers of a thread, as the kernel writes them down for an exception or a bugcheck."""

from __future__ import annotations

from dumpkit.registers import Context
from dumpkit.target import Target


def context_record(target: Target, address: int) -> Context:
    """The registers in the CONTEXT at a virtual address.

    Its layout (winnt.h) is part of the calling interface of Windows and the same in every version. ContextFlags says
    which parts were filled in; as in the debugger, the others are shown with what lies there. Raises MemoryReadError.
    """
    architecture = target.architecture
    return Context.from_bytes(architecture, target.memory.read(address, architecture.context_size))
