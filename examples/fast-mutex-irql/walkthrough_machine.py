"""The machine at its crash: memory, processors, processes, the crashing thread with its IRP and its stack."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence

from walkthrough_images import IDLE, KE_BUG_CHECK_EX, PATHS, WAITING
from walkthrough_stack import BASES, Row

from tests.forge.image import Image
from tests.forge.io import StackLocation, add_device, add_driver, add_file, add_irp
from tests.forge.kernel_variables import add_debugger_data, set_bugcheck, set_build
from tests.forge.machine import Machine
from tests.forge.memory import PhysicalPages
from tests.forge.modules import Unloaded, add_loaded_modules, add_unloaded_modules
from tests.forge.namespace import Entry, add_handle_table, add_namespace
from tests.forge.objects import ObjectManager
from tests.forge.page_tables import PXE
from tests.forge.pool import NON_PAGED_NX, PAGED, Pool
from tests.forge.process import add_process
from tests.forge.processor import Processor, add_processor, context_record, set_idle
from tests.forge.shared_data import TICK, add_shared_data
from tests.forge.stack import Call, KernelStack
from tests.forge.structure import Structure
from tests.forge.sync import add_event, add_fast_mutex, add_resource
from tests.forge.tagged import PROCESSOR_KEY, SMBIOS, black_boxes, processor_key, smbios
from tests.forge.thread import add_thread, ready, run, wait

BUILD = 22621
LAB = "22621.2506.amd64fre.ni_release_svc_prod3.231018-1809"
PROCESSOR_NAME = "11th Gen Intel(R) Core(TM) i7-1185G7 @ 3.00GHz"
BUGCHECK = (0xD1, 0xFFFF80091002AC08, 2, 1, 0xFFFFF802084D9062)
#: Mon Dec 4 14:55:45.455 2023 UTC as a FILETIME, and the uptime of 7:30.911, both in 100 ns.
CRASH_TIME, UPTIME = 133461753454550000, 4509110000
TICKS = UPTIME // TICK

#: Bits 47-39 of PTE_BASE FFFFD78000000000, from the printed addresses of PTEs.
SELF_MAP = 0x1AF
#: The page with the PPE of the faulting address, which is not in the dump.
MISSING_PAGE = 0x19E511
#: Chosen: more pages than that one's number.
PHYSICAL_PAGES = 0x240000

CRASHING_PROCESSOR = 4
SYSTEM_PROCESS, CRASHING_THREAD, CRASHING_IRP = 0xFFFFB5076A4EB040, 0xFFFFB507729E3040, 0xFFFFB50772DDAA20
THREAD_ID = 0x26EC
STACK_BASE, STACK_SIZE, INITIAL_STACK = 0xFFFFED0EE77E0000, 0x7000, 0xFFFFED0EE77DF5F0
TRAP_FRAME = 0xFFFFED0EE77DCE90
#: KPCRs: those of processors 0 and 4 lie 0x180 below PRCBs whose addresses are words of the printed stack.
PCRS = (
    0xFFFFF802007E3000,
    0xFFFFA30054A51000,
    0xFFFFA30054B7D000,
    0xFFFFA30054D11000,
    0xFFFFA30054EA8000,
    0xFFFFA300551B1000,
)
#: Chosen addresses.
FILE_OBJECT, FAST_MUTEX_DEVICE = 0xFFFFB507729B4B20, 0xFFFFB50771E13DD0
_HEAP = 0xFFFF_B507_6000_0000
#: The stack shows the address of SYNC_RESOURCES: the extension of TestDriver's device.
_SYNC_RESOURCES = 0xFFFFB50771E13F20

#: What .trap prints; the other registers lie in the frame's home space or nowhere.
TRAP_REGISTERS = {
    "Rax": 0x00000006991B441C,
    "Rcx": 0x0B4DF3B13FEE0000,
    "Rdx": 0,
    "R8": 0,
    "R9": 0x7FFFFFFFFFFFFFFC,
    "R10": 0xFFFFB5076D140D70,
    "R11": 1,
    "Rbp": 0xFFFFED0EE77DDB39,
    "Rip": 0xFFFFF802084D9062,
    "Rsp": 0xFFFFED0EE77DD020,
    "EFlags": 0x50282,
    "FaultAddress": BUGCHECK[1],
    "ErrorCode": 2,
    "ExceptionActive": 1,
    "PreviousIrql": 2,
}


class Crash(NamedTuple):
    """The machine, and what of it the walkthrough names."""

    machine: Machine
    thread: Structure
    irp: Structure
    processors: Sequence[Processor]


def build_machine(images: Dict[str, Image], rows: List[Row]) -> Crash:
    """All of it."""
    machine = Machine(BUILD, SELF_MAP, _HEAP, PhysicalPages(0x1AD))
    machine.physical_pages, machine.crash_processor = PHYSICAL_PAGES, CRASHING_PROCESSOR
    # The last page of memory: readers take the highest page for the size of the machine.
    machine.memory.page(PHYSICAL_PAGES - 1)
    for name in ("nt", "FLTMGR", "WDFLDR", "fileinfo", "Ntfs", "TestDriver"):
        machine.load(images[name], PATHS[name])
    machine.tables.set_entry(BUGCHECK[1], PXE, 0x0A00000000000863 | MISSING_PAGE << 12)
    # A minidump keeps what unwinds TestDriver: the engine cannot load that image from a store under Wine.
    machine.triage_blocks = [(BASES["TestDriver"] + rva, 0x1000) for rva in (0, 0x3000, 0x5000)]
    add_loaded_modules(machine)
    _add_unloaded(machine)
    _set_variables(machine)
    # Chosen: heaps without a segment, and a tracker that knows nothing of the faulting address.
    pool = Pool(machine)
    for kind in (NON_PAGED_NX, PAGED):
        pool.heap(kind)
    pool.track(BUGCHECK[1], 0)
    objects = ObjectManager(machine)
    system = add_process(machine, "System", 4, SYSTEM_PROCESS, objects, create_time=CRASH_TIME - UPTIME)
    machine.set_global("PsInitialSystemProcess", system)
    for name, pid in (("Registry", 0x64), ("smss.exe", 0x1A4), ("csrss.exe", 0x20C)):
        add_process(machine, name, pid, None, objects, parent=4, create_time=CRASH_TIME - UPTIME + 10**7)
    processors = _add_processors(machine, images["nt"], objects)
    thread = _add_crashing_thread(machine, objects, system, rows)
    run(thread, processors[CRASHING_PROCESSOR])
    mutex = _add_driver_device(machine, objects, images["TestDriver"])
    _add_waiting_threads(machine, objects, system, processors, images, mutex)
    irp = _add_irp(machine, objects, thread, images)
    namespace = add_namespace(objects)
    namespace.link("\\GLOBAL??", "C:", "\\Device\\HarddiskVolume3")
    handles = {4: Entry(system, 0x1FFFFF, 1), 8: Entry(namespace.root, 0xF000F)}
    machine.set_global("ObpKernelHandleTable", add_handle_table(objects, handles, system))
    _describe(machine)
    return Crash(machine, thread, irp, processors)


def _add_unloaded(machine: Machine) -> None:
    """Drivers that come and go at every start; their places and times are chosen."""
    start = CRASH_TIME - UPTIME
    names = ("dump_storport.sys", "dump_storvsc.sys", "WdBoot.sys", "hwpolicy.sys")
    add_unloaded_modules(
        machine,
        [
            Unloaded(0xFFFFF80209000000 + n * 0x20000, 0xFFFFF80209010000 + n * 0x20000, name, start + n * 10**6)
            for n, name in enumerate(names)
        ],
    )


def _set_variables(machine: Machine) -> None:
    set_build(machine, LAB, LAB)
    set_bugcheck(machine, *BUGCHECK)
    machine.link(machine.address("PsActiveProcessHead"), ())
    machine.link(machine.address("ExpSystemResourcesList"), ())
    machine.set_global("HvlEnlightenments", 0x10FBE4, 4)
    machine.set_global("HvlpFlags", 0xA10FC, 4)
    machine.set_global("HvlpRootFlags", 0, 4)
    machine.set_global("MmPhysicalMemoryBlock", 0)
    # SystemVaType: the slot of the faulting address is none of the known regions.
    state = machine.place("_MI_VISIBLE_STATE")
    kinds = {0xB5: 5, 0xC7: 6, 0xF8: 12, 0xED: 14, 0xA3: 9}
    for byte, kind in kinds.items():
        for slot in (byte << 1, byte << 1 | 1):
            state[f"SystemVaType[{slot & 0xFF}]"] = kind
    machine.set_global("MiVisibleState", state)


def _idle_stack(machine: Machine, nt: Image, base: int) -> KernelStack:
    stack = KernelStack(machine, base, mapped=0x2000)
    _call_chain(stack, nt, IDLE[::-1])
    return stack


def _call_chain(stack: KernelStack, nt: Image, chain: Sequence[tuple]) -> None:
    """Frames from the outermost function inwards; each is entered with its caller's return address."""
    caller = 0
    for _, rva, frame, offset, _ in chain:
        stack.call(caller, frame)
        caller = nt.base + rva + offset


def _add_processors(machine: Machine, nt: Image, objects: ObjectManager) -> List[Processor]:
    """Processors 0 to 5; all but the crashing one idle."""
    idle_process = add_process(machine, "Idle", 0, machine.address("KiInitialProcess"), listed=False)
    machine.set_global("PsIdleProcess", idle_process)
    processors = []
    for number, pcr in enumerate(PCRS):
        stack = _idle_stack(machine, nt, 0xFFFFED0EE6010000 + number * 0x10000)
        innermost = IDLE[0]
        registers = {"rip": nt.base + innermost[1] + innermost[3], "rsp": stack.rsp, "rbp": 0}
        if number == CRASHING_PROCESSOR:
            registers = CRASH_REGISTERS
        processor = add_processor(machine, number, pcr, registers, irql=2 if number == CRASHING_PROCESSOR else 0)
        thread = add_thread(machine, idle_process, 0, stack, objects=objects, priority=0, wait_time=0)
        thread["Cid.UniqueProcess"] = 0
        set_idle(processor, thread)
        run(thread, processor)
        processors.append(processor)
    return processors


#: The registers of the processor that crashed, at the start of KeBugCheckEx.
CRASH_REGISTERS = {
    "rip": BASES["nt"] + KE_BUG_CHECK_EX,
    "rsp": 0xFFFFED0EE77DCD48,
    "rbp": TRAP_FRAME + 0x80,
    "rcx": 0xA,
    "rdx": BUGCHECK[1],
    "r8": BUGCHECK[2],
    "r9": BUGCHECK[3],
    "rax": 0xFFFFED0EE77DCE50,
    "r15": BUGCHECK[1] - 8,
    "efl": 0x40046,
}


def _add_crashing_thread(machine: Machine, objects: ObjectManager, system: Structure, rows: List[Row]) -> Structure:
    stack = KernelStack(machine, STACK_BASE, STACK_SIZE, INITIAL_STACK)
    stack.lay_out([Call(row.stack_pointer, row.return_address, row.arguments) for row in rows])
    stack.trap(TRAP_REGISTERS, TRAP_FRAME)
    # The caller's home space: the fault's parameters, of which the last is the address of the code.
    machine.put_u64(rows[1].stack_pointer + 0x20, BUGCHECK[4])
    _finish_service_frame(machine, stack, rows)
    return add_thread(
        machine,
        system,
        THREAD_ID,
        stack,
        CRASHING_THREAD,
        objects,
        start=BASES["TestDriver"] + 0x10F0,
        wait_reason=27,
        wait_time=TICKS - 1,
        context_switches=3,
        create_time=CRASH_TIME - 3 * 10**6,
    )


def _finish_service_frame(machine: Machine, stack: KernelStack, rows: List[Row]) -> None:
    """The machine frame that a system service called from the kernel builds: back to KiServiceLinkage."""
    at = next(index for index, row in enumerate(rows) if row.function == "KiSystemServiceCopyEnd")
    linkage = rows[at + 1]
    frame = rows[at].stack_pointer + 0x70
    registers = {
        "Rip": rows[at].return_address,
        "EFlags": 0x246,
        "Rsp": linkage.stack_pointer,
        "Rbp": 0xFFFFED0EE77DF350,
    }
    stack.trap(registers, frame)
    machine.put_u64(linkage.stack_pointer, linkage.return_address)


def _add_driver_device(machine: Machine, objects: ObjectManager, image: Image) -> Structure:
    """TestDriver's driver and device objects; the fast mutex in the device's extension is free: nobody got so far."""
    nt = BASES["nt"]
    driver = add_driver(
        machine, objects, "\\Driver\\TestDrv", image.base, image.size, {}, nt + 0x2F0100, unload=image.base + 0x1560
    )
    size = machine.layouts.size("_DEVICE_OBJECT")
    device = add_device(machine, objects, driver, 0x22, None, _SYNC_RESOURCES - size, 0x38)
    return add_fast_mutex(machine, device["DeviceExtension"])


def _waiting_stack(machine: Machine, nt: Image, base: int) -> KernelStack:
    stack = KernelStack(machine, base, mapped=0x2000)
    outer = [("KiStartSystemThread", 0x41B8B0, 0x28, 0x34, ""), ("PspSystemThreadStartup", 0x307230, 0x48, 0x57, "")]
    _call_chain(stack, nt, [*outer, *WAITING[::-1]])
    stack.switch_out(nt.base + WAITING[0][1] + WAITING[0][3])
    return stack


def _add_waiting_threads(
    machine: Machine,
    objects: ObjectManager,
    system: Structure,
    processors: Sequence[Processor],
    images: Dict[str, Image],
    mutex: Structure,
) -> None:
    """Chosen: a worker that waits, the driver's other thread ready to run, a resource that somebody owns."""
    nt = images["nt"]
    worker = add_thread(
        machine,
        system,
        0x1C,
        _waiting_stack(machine, nt, 0xFFFFED0EE5010000),
        objects=objects,
        start=nt.base + 0x2F0C00,
        priority=12,
        wait_time=TICKS - 42,
    )
    wait(worker, 15, [add_event(machine)])
    mover = add_thread(
        machine,
        system,
        0x26F0,
        _waiting_stack(machine, nt, 0xFFFFED0EE5030000),
        objects=objects,
        start=BASES["TestDriver"] + 0x12A0,
        wait_time=TICKS,
    )
    ready(mover, processors[5])
    add_resource(machine, exclusive=worker, contention=1)


def _add_irp(machine: Machine, objects: ObjectManager, thread: Structure, images: Dict[str, Image]) -> Structure:
    """The create request on its way through the filter manager to Ntfs."""
    ntfs, filters = images["Ntfs"], images["FLTMGR"]
    default = BASES["nt"] + 0x2F0100
    ntfs_driver = add_driver(
        machine,
        objects,
        "\\FileSystem\\Ntfs",
        ntfs.base,
        ntfs.size,
        {0: ntfs.base + ntfs.rva_of("NtfsFsdCreate")},
        default,
    )
    filter_driver = add_driver(
        machine,
        objects,
        "\\FileSystem\\FltMgr",
        filters.base,
        filters.size,
        {0: filters.base + filters.rva_of("FltpCreate")},
        default,
    )
    volume_driver = add_driver(machine, objects, "\\Driver\\volmgr", 0xFFFFF80207000000, 0x1A000, {}, default)
    volume = add_device(machine, objects, volume_driver, 7, "HarddiskVolume3")
    file_system = add_device(machine, objects, ntfs_driver, 8, None, 0xFFFFB5076D32A030, stack_size=12)
    add_device(machine, objects, filter_driver, 8, None, 0xFFFFB5076D1868F0, attached_to=file_system, stack_size=13)
    vpb = machine.place("_VPB")
    vpb.set(
        {
            "Type": 10,
            "Size": vpb.size,
            "Flags": 1,
            "DeviceObject": file_system,
            "RealDevice": volume,
            "ReferenceCount": 0x40,
        }
    )
    vpb["VolumeLabelLength"] = 14
    vpb["VolumeLabel"] = "Windows".encode("utf-16-le")
    volume["Vpb"] = vpb
    file = add_file(machine, objects, volume, "\\Temp\\FileCreationThreadIrql.txt", FILE_OBJECT, "w")
    create = StackLocation(0, file_system, file, control=0xE0)
    count = 13
    locations = [StackLocation(0)] * (count - 2) + [create, StackLocation(0, None, file)]
    members = {"Flags": 0x884, "RequestorMode": 0, "Cancel": 0, "UserIosb": 0xFFFFED0EE77DF2B8, "IoStatus.Status": 0}
    return add_irp(machine, thread, locations, count - 1, CRASHING_IRP, members)


def _describe(machine: Machine) -> None:
    """The shared data, the debugger data and the header."""
    add_shared_data(machine, CRASH_TIME, UPTIME, len(PCRS), bias=8 * 3600 * 10**7)
    add_debugger_data(machine)
    machine.header.update(
        processors=len(PCRS),
        context=context_record(CRASH_REGISTERS),
        exception_code=0x80000003,
        exception_address=CRASH_REGISTERS["rip"],
        attributes=0x800,
        kd_secondary_version=0,
        secondary_data_state=0,
        pfn_database=0xFFFFFA8000000000,
    )
    table = smbios("Microsoft Corporation", "Virtual Machine", PROCESSOR_NAME)
    key = processor_key([("ProcessorNameString", PROCESSOR_NAME), ("VendorIdentifier", "GenuineIntel"), ("~MHz", 2995)])
    machine.tagged += [(SMBIOS, table), (PROCESSOR_KEY, key), *black_boxes(CRASH_TIME - UPTIME)]
