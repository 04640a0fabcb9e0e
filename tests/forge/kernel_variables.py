"""The kernel's variables that the forge gives values, and KDDEBUGGER_DATA64, which tells a debugger where they are."""

from __future__ import annotations

from struct import pack, pack_into
from typing import Dict, Mapping

from dumpkit.kernel.debugger_data import members

from tests.forge.image import Image
from tests.forge.machine import Machine

#: Bytes of each; types' sizes vary with the build, these have room for all.
VARIABLES: Dict[str, int] = {
    "KdVersionBlock": 0x28, "PsLoadedModuleList": 16, "PsActiveProcessHead": 16, "KiProcessorBlock": 0x800,
    "KdDebuggerDataBlock": 0x3B0,
    "KdpDataBlockEncoded": 8, "KiWaitNever": 8, "KiWaitAlways": 8, "NtBuildLab": 0x80, "NtBuildLabEx": 0x100,
    "NtBuildNumber": 8, "CmNtCSDVersion": 8, "KiBugCheckData": 40, "KiBugCheckDriver": 8, "KeMaximumIncrement": 8,
    "KeTimeIncrement": 8, "KeBootTime": 8, "KeNumberProcessors": 8, "KeActiveProcessors": 0x110,
    "PsIdleProcess": 8, "PsInitialSystemProcess": 8, "PspCidTable": 8, "ObTypeIndexTable": 0x400,
    "ObHeaderCookie": 8, "ObpInfoMaskToOffset": 0x100, "ObpRootDirectoryObject": 8, "ObpTypeObjectType": 8,
    "ObpKernelHandleTable": 8, "PsProcessType": 8, "PsThreadType": 8, "IoFileObjectType": 8,
    "IoDriverObjectType": 8, "IoDeviceObjectType": 8, "ExEventObjectType": 8, "ExMutantObjectType": 8,
    "ExSemaphoreObjectType": 8, "ExpSystemResourcesList": 16, "MmUnloadedDrivers": 8, "MmLastUnloadedDriver": 8,
    "MmTriageActionTaken": 8, "MmPteBase": 8, "MmPfnDatabase": 8, "MmPhysicalMemoryBlock": 8,
    "MmHighestUserAddress": 8, "MmSystemRangeStart": 8, "MmUserProbeAddress": 8, "MmNumberOfPhysicalPages": 8,
    "MmSpecialPoolTag": 8, "MiVisibleState": 8, "PoolBigPageTable": 8, "PoolBigPageTableSize": 8,
    "PoolTrackTable": 8, "PoolTrackTableSize": 8, "ExpPoolQuotaCookie": 8, "RtlpHpHeapGlobals": 0x60,
    "HvlEnlightenments": 8, "HvlpFlags": 8, "HvlpRootFlags": 8, "HalpHvciEnabled": 8,
    "WmipSMBiosTablePhysicalAddress": 8, "WmipSMBiosTableLength": 8, "CmpHiveListHead": 16, "EtwpDebuggerData": 0x10,
    "KiInitialProcess": 0xC00, "MiState": 0x4000, "ExPoolState": 0x90000,
}  # fmt: skip

#: Variable -> the first build that has it, for those that an older Windows of the forge has not.
_FIRST_BUILDS = {"ObHeaderCookie": 10240}
#: KDDEBUGGER_DATA64 calls these otherwise.
_OTHER_NAMES = {"KiBugcheckData": "KiBugCheckData"}

#: Member of KDDEBUGGER_DATA64 -> (structure, member).
_OFFSETS = {
    "OffsetKThreadNextProcessor": ("_KTHREAD", "NextProcessor"),
    "OffsetKThreadTeb": ("_KTHREAD", "Teb"),
    "OffsetKThreadKernelStack": ("_KTHREAD", "KernelStack"),
    "OffsetKThreadInitialStack": ("_KTHREAD", "InitialStack"),
    "OffsetKThreadApcProcess": ("_KTHREAD", "ApcState.Process"),
    "OffsetKThreadState": ("_KTHREAD", "State"),
    "OffsetEprocessPeb": ("_EPROCESS", "Peb"),
    "OffsetEprocessParentCID": ("_EPROCESS", "InheritedFromUniqueProcessId"),
    "OffsetEprocessDirectoryTableBase": ("_EPROCESS", "Pcb.DirectoryTableBase"),
    "OffsetPrcbDpcRoutine": ("_KPRCB", "DpcRoutineActive"),
    "OffsetPrcbCurrentThread": ("_KPRCB", "CurrentThread"),
    "OffsetPrcbMhz": ("_KPRCB", "MHz"),
    "OffsetPrcbCpuType": ("_KPRCB", "CpuType"),
    "OffsetPrcbVendorString": ("_KPRCB", "VendorString"),
    "OffsetPrcbProcStateContext": ("_KPRCB", "ProcessorState.ContextFrame"),
    "OffsetPrcbNumber": ("_KPRCB", "Number"),
    "OffsetPcrSelfPcr": ("_KPCR", "Self"),
    "OffsetPcrCurrentPrcb": ("_KPCR", "CurrentPrcb"),
    "OffsetPcrContainedPrcb": ("_KPCR", "Prcb"),
    "OffsetPrcbProcStateSpecialReg": ("_KPRCB", "ProcessorState.SpecialRegisters"),
    "OffsetPrcbContext": ("_KPRCB", "Context"),
    "OffsetKThreadStackLimit": ("_KTHREAD", "StackLimit"),
    "OffsetKThreadStackBase": ("_KTHREAD", "StackBase"),
    "OffsetKThreadQueueListEntry": ("_KTHREAD", "QueueListEntry"),
    "OffsetEThreadIrpList": ("_ETHREAD", "IrpList"),
    "OffsetPrcbIdleThread": ("_KPRCB", "IdleThread"),
    "OffsetPrcbNormalDpcState": ("_KPRCB", "NormalDpcState"),
    "OffsetPrcbDpcStack": ("_KPRCB", "DpcStack"),
    "OffsetPrcbIsrStack": ("_KPRCB", "IsrStack"),
    "OffsetKThreadWaitReason": ("_KTHREAD", "WaitReason"),
}
_SIZES = {"SizeEProcess": "_EPROCESS", "SizePrcb": "_KPRCB", "SizeEThread": "_ETHREAD", "SizePcr": "_KPCR"}
#: What is the same on every x64.
_CONSTANTS = {
    "GdtR0Code": 0x10, "GdtR0Data": 0x18, "GdtR3Code": 0x33, "GdtR3Data": 0x2B, "GdtR3Teb": 0x53, "GdtTss": 0x40,
    "Gdt64R3CmCode": 0x23, "Gdt64R3CmTeb": 0x53, "PaeEnabled": 1, "MmPageSize": 0x1000,
}  # fmt: skip


def label_variables(image: Image, places: Mapping[str, int], first: int, build: int = 22621) -> None:
    """Name the kernel's variables: at the RVAs of `places`, the others one behind the other from `first` on."""
    taken = {name: (rva, rva + VARIABLES.get(name, 16)) for name, rva in places.items()}
    at = first
    for name, size in VARIABLES.items():
        rva = places.get(name)
        if rva is None:
            at = -(-at // 0x10) * 0x10
            for start, end in sorted(taken.values()):
                if at < end and start < at + size:
                    at = -(-end // 0x10) * 0x10
            rva, at = at, at + size
        if build >= _FIRST_BUILDS.get(name, 0):
            image.label(name, rva, is_function=False)


def debugger_data(machine: Machine, size: int = 0x388) -> bytes:
    """KDDEBUGGER_DATA64 of a machine: where its kernel's variables are, and the offsets of its layouts."""
    layouts = machine.layouts
    values = {**_CONSTANTS, "KernBase": machine.images[0].image.base, "PteBase": machine.pte_base}
    for name in members():
        place = machine.globals.get(_OTHER_NAMES.get(name, name))
        if place is not None:
            values[name] = place
    values.update({name: layouts.offset(*path) for name, path in _OFFSETS.items() if layouts.has(*path)})
    values.update({name: layouts.size(type) for name, type in _SIZES.items()})
    values.update(machine.debugger_members)
    values.pop("MmPageSize", None)
    block = bytearray(0x1000)
    block[0x10:0x14] = b"KDBG"
    pack_into("<I", block, 0x14, size)
    for name, value in values.items():
        offset, width = members()[name]
        block[offset : offset + width] = value.to_bytes(width, "little")
    here = machine.globals["KdDebuggerDataBlock"]
    pack_into("<QQ", block, 0, here, here)
    return bytes(block[:size])


def add_debugger_data(machine: Machine) -> None:
    """Write the debugger data block, and say in the header where it and what it names is."""
    machine.put(machine.address("KdDebuggerDataBlock"), debugger_data(machine))
    machine.set_global("MmPteBase", machine.pte_base)
    # DBGKD_GET_VERSION64 (wdbgexts.h): protocol 6, DBGKD_VERS_FLAG_MP|DATA|PTR64, machine, images.
    words = pack("<HHBBHHBBBBH", 0xF, machine.build, 6, 2, 0x47, 0x8664, 0xC, 3, 0x2A, 0, 0)
    machine.put(machine.address("KdVersionBlock"), words)
    lists = (
        machine.images[0].image.base,
        machine.address("PsLoadedModuleList"),
        machine.address("KdDebuggerDataBlock"),
    )
    machine.put_u64(machine.address("KdVersionBlock") + 0x10, *lists)
    # The engine asks these for the split of the address space.
    machine.set_global("MmHighestUserAddress", 0x7FFF_FFFE_FFFF)
    machine.set_global("MmUserProbeAddress", 0x7FFF_FFFF_0000)
    machine.set_global("MmSystemRangeStart", 0xFFFF_8000_0000_0000)
    machine.header.update(
        minor_version=machine.build,
        ps_loaded_module_list=machine.address("PsLoadedModuleList"),
        ps_active_process_head=machine.address("PsActiveProcessHead"),
        kd_debugger_data_block=machine.address("KdDebuggerDataBlock"),
    )


def set_build(machine: Machine, lab: str, lab_ex: str) -> None:
    """NtBuildLab ("22621.1.amd64fre.ni_release.220506-1250") and NtBuildLabEx, and the build's number."""
    machine.set_global("NtBuildLab", lab.encode() + b"\0")
    machine.set_global("NtBuildLabEx", lab_ex.encode() + b"\0")
    machine.set_global("NtBuildNumber", pack("<I", 0xF0000000 | machine.build))


def set_bugcheck(machine: Machine, code: int, *parameters: int) -> None:
    """The stop code, in the header and in KiBugCheckData."""
    words = [*parameters, 0, 0, 0, 0][:4]
    machine.header.update(bugcheck_code=code, bugcheck_parameters=words)
    machine.put_u64(machine.address("KiBugCheckData"), code, *words)
