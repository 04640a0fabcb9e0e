"""Processors: KPCR and KPRCB with the registers at the crash."""

from __future__ import annotations

from struct import pack_into
from typing import Mapping, NamedTuple

from dumpkit.registers import X64

from tests.forge.machine import Machine
from tests.forge.structure import Structure

#: CONTEXT_FULL | CONTEXT_DEBUG_REGISTERS | CONTEXT_SEGMENTS on x64.
_ALL_REGISTERS = 0x10001F
#: The GDT of x64 Windows: null, null, kernel code and data, user 32-bit code, user data, user code; TSS; user FS.
_GDT = (
    0,
    0,
    0x00209B0000000000,
    0x00409300_00000000,
    0x00CFFB00_0000FFFF,
    0x00CFF300_0000FFFF,
    0x0020FB00_00000000,
    0,
    0x00008B00_00000067,
    0,
    0x0040F300_00003C00,
)
_SEGMENTS = {"cs": 0x10, "ss": 0x18, "ds": 0x2B, "es": 0x2B, "fs": 0x53, "gs": 0x2B}


class Processor(NamedTuple):
    """A processor's number and its structures."""

    number: int
    pcr: Structure
    prcb: Structure


def context_record(registers: Mapping[str, int]) -> bytes:
    """A CONTEXT (winnt.h) of kernel code; registers by their debugger names."""
    record = bytearray(X64.context_size)
    values = {"contextflags": _ALL_REGISTERS, "mxcsr": 0x1F80, "efl": 0x40202, **_SEGMENTS, **registers}
    for name, value in values.items():
        offset, size = X64.layout[name]
        record[offset : offset + size] = value.to_bytes(size, "little")
    # FltSave.ControlWord and its copy of MXCSR.
    pack_into("<H22xI", record, 0x100, 0x27F, values["mxcsr"])
    return bytes(record)


def add_processor(
    machine: Machine,
    number: int,
    pcr: int,
    registers: Mapping[str, int],
    *,
    irql: int = 0,
    megahertz: int = 2995,
    vendor: str = "GenuineIntel",
    family: int = 6,
    model: int = 0x8C,
    stepping: int = 1,
) -> Processor:
    """A processor whose KPCR is at a virtual address. Add them in their order.

    Its threads are set by `thread.run` and `set_idle`.

    `irql` is what the debugger finds as DebuggerSavedIRQL.
    """
    area = machine.place("_KPCR", pcr)
    prcb = area.member("Prcb")
    area.set({"Self": pcr, "CurrentPrcb": prcb, "Irql": irql, "MajorVersion": 1, "MinorVersion": 1})
    area.set({"IdtBase": pcr - 0x3000, "GdtBase": pcr - 0x2000})
    machine.put_u64(pcr - 0x2000, *_GDT)
    record = context_record(registers)
    special = prcb.member("ProcessorState.SpecialRegisters")
    special.set({"Cr0": 0x80050033, "Cr3": machine.root, "Cr4": 0x350EF8, "Cr8": irql, "Tr": 0x40})
    special.set({"Gdtr.Limit": 0x57, "Gdtr.Base": pcr - 0x2000, "Idtr.Limit": 0xFFF, "Idtr.Base": pcr - 0x3000})
    prcb.set(
        {
            "ProcessorState.ContextFrame": record,
            "Context": prcb.at("ProcessorState.ContextFrame"),
            "Number": number,
            "LegacyNumber": number,
            "GroupIndex": number,
            "GroupSetMember": 1 << number,
            "CpuType": family,
            "CpuID": 1,
            "CpuModel": model,
            "CpuStepping": stepping,
            "MHz": megahertz,
            "VendorString": vendor.encode() + b"\0",
            "MajorVersion": 1,
            "MinorVersion": 1,
            "DebuggerSavedIRQL": irql,
            "CoresPerPhysicalProcessor": 1,
        }
    )
    for priority in range(32):
        machine.link(prcb.at(f"DispatcherReadyListHead[{priority}]"), ())
    machine.put_u64(machine.address("KiProcessorBlock") + 8 * number, prcb.address)
    machine.set_global("KeNumberProcessors", number + 1, 4)
    return Processor(number, area, prcb)


def set_idle(processor: Processor, thread: Structure) -> None:
    """Name its idle thread."""
    processor.prcb["IdleThread"] = thread
