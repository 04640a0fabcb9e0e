"""Writes the dump and the symbol store of this example beside this file: python examples/pool-0x13a/build.py"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List, Tuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.forge.kernel_variables import add_debugger_data, set_bugcheck  # noqa: E402
from tests.forge.machine import Machine  # noqa: E402
from tests.forge.pdb import Pdb  # noqa: E402
from tests.forge.pool import (  # noqa: E402
    MMST,
    NON_PAGED_NX,
    PAGED,
    PAGED_TYPE,
    SPECIAL_NODE,
    Pool,
    set_system_va_types,
    set_tag_counts,
    special_page,
)
from tests.forge.processor import context_record  # noqa: E402
from tests.forge.scene import Scene, write_example  # noqa: E402
from tests.forge.shared_data import add_shared_data  # noqa: E402
from tests.forge.stack import KernelStack  # noqa: E402
from tests.forge.sync import add_event  # noqa: E402
from tests.forge.tagged import PROCESSOR_KEY, SMBIOS, processor_key, smbios  # noqa: E402
from tests.forge.thread import add_thread, run, wait  # noqa: E402

BASES = {
    "nt": ("ntoskrnl.exe", 0xFFFFF80370000000),
    "overrun": ("overrun.sys", 0xFFFFF80381A00000),
}
FAILURE = 0x12
SEGMENT, PAGED_SEGMENT = 0xFFFFA08F24000000, 0xFFFFD80112300000
#: The pages that public transcripts show: prototype PTEs of a section, a large allocation, special pool.
PROTOTYPE_SEGMENT, RANGE_SEGMENT, SPECIAL_SEGMENT = 0xFFFFE2809AB00000, 0xFFFFC986CB600000, 0xFFFFB98851F00000
#: Chosen so that a free chunk's header shows as the tag that it has in a transcript.
HEAP_KEY = 0xDD63900C7F4A7C15
STACK = 0xFFFFF58A12340000
CRASH_TIME, UPTIME = 133461753454550000, 6234567890
PROCESSOR_NAME = "AMD Ryzen 7 3700X 8-Core Processor"
#: Who freed what, innermost first, with frame sizes and the offsets at which public analyses show them.
CALLS = [
    ("nt!RtlpHeapHandleError", 0x38, 0x29),
    ("nt!RtlpHpHeapHandleError", 0x28, 0x58),
    ("nt!RtlpLogHeapFailure", 0x28, 0x45),
    ("nt!RtlpHpVsContextFree", 0xA8, 0x4AC),
    ("nt!ExFreeHeapPool", 0x128, 0x7A6),
    ("nt!ExFreePool", 0x28, 0x9),
    ("overrun!FreeRecord", 0x38, 0x5B),
    ("overrun!WorkerThread", 0x58, 0x8D),
]


class Corruption:
    """The pool page: a record that was written too far, and the chunk header behind it."""

    def __init__(self, machine: Machine) -> None:
        pool = Pool(machine, HEAP_KEY)
        pool.map_state()
        vs = pool.segment(NON_PAGED_NX, SEGMENT).vs(16)
        vs.allocate(0x200, "Even")
        self.record = vs.allocate(0x110, "Ovrn") + 0x10
        self.next_chunk = vs.next
        vs.allocate(0x300, "Irp ")
        vs.free(0x60)
        vs.allocate(0x140, "File")
        vs.fill()
        self.heap = pool.heap(NON_PAGED_NX).at("SegContexts[0]")
        # The record has 0x100 bytes; 0x120 were written.
        machine.put(self.record, b"A" * 0x120)
        paged = pool.segment(PAGED, PAGED_SEGMENT)
        paged.lfh(1, 0x60, ["CM31", None, "MmSt", "CM31"], PAGED_TYPE)
        paged.big(0x3000, "Toke", PAGED_TYPE)
        pool.large(PAGED, 0xFFFFD80120000000, 0x24000, "MmRe", PAGED_TYPE)
        self._add_transcribed(pool)
        nonpaged, pages = (SEGMENT, SPECIAL_SEGMENT), (PAGED_SEGMENT, PROTOTYPE_SEGMENT, RANGE_SEGMENT)
        types = {**dict.fromkeys(nonpaged, "NonPagedPool"), **dict.fromkeys(pages, "PagedPool")}
        types.update({SPECIAL_SEGMENT: "SpecialPoolPaged", STACK: "KernelStacks", BASES["nt"][1]: "BootLoaded"})
        set_system_va_types(machine, types)
        counts = {
            "Even": (1, 0x200, 0, 0),
            "Ovrn": (1, 0x110, 0, 0),
            "Irp ": (1, 0x300, 0, 0),
            "File": (1, 0x140, 0, 0),
        }
        paged_counts = {"CM31": (0, 0, 2, 0xC0), "MmSt": (0, 0, 2, 0x8E0), "Toke": (0, 0, 1, 0x3000)}
        set_tag_counts(
            machine,
            {**counts, **paged_counts, "V2lg": (0, 0, 1, 0x4000), "MmRe": (0, 0, 1, 0x24000), "Scbf": (1, 0x4F0, 0, 0)},
        )

    @staticmethod
    def _add_transcribed(pool: Pool) -> None:
        prototypes = pool.segment(MMST, PROTOTYPE_SEGMENT)
        prototypes.skip(0xEB)
        vs = prototypes.vs(2)
        vs.fill(0x10)
        vs.allocate(0x880, "MmSt", PAGED_TYPE)
        vs.fill()
        ranges = pool.segment(PAGED, RANGE_SEGMENT)
        ranges.skip(0xF0)
        ranges.big(0x4000, "V2lg", PAGED_TYPE)
        special = pool.segment(NON_PAGED_NX, SPECIAL_SEGMENT, node=SPECIAL_NODE)
        special.skip(4)
        special_page(pool.machine, special.range(1, 3), 0x4F0, "Scbf")


def build() -> Tuple[Machine, List[Pdb]]:
    """The machine at its crash, and the PDBs of its images."""
    scene = Scene(19041, BASES, self_map=0x172)
    for symbol, frame, at in CALLS:
        scene.define(symbol, frame, at)
    machine = scene.open()
    machine.crash_processor = 1
    corruption = Corruption(machine)
    stack = KernelStack(machine, STACK)
    outer = ["nt!KiStartSystemThread", "nt!PspSystemThreadStartup"]
    registers = scene.bugcheck(stack, [*outer, *(symbol for symbol, _, _ in reversed(CALLS))])
    registers.update(rcx=0x13A, rdx=FAILURE, r8=corruption.heap, r9=corruption.next_chunk)
    set_bugcheck(machine, 0x13A, FAILURE, corruption.heap, corruption.next_chunk, 0)
    scene.idle_processor(0, 0xFFFFF8036EA00000, 0xFFFFF58A11000000)
    idle = KernelStack(machine, 0xFFFFF58A11010000, mapped=0x1000)
    processor = scene.processor(1, 0xFFFFC78154A80000, registers, idle)
    start = scene.places["overrun!WorkerThread"].address
    ticks = UPTIME // 156250
    thread = add_thread(
        machine, scene.system, 0x1A2C, stack, None, scene.objects, start=start, wait_time=ticks - 3, wait_reason=6
    )
    run(thread, processor)
    wait(scene.waiting_thread(0x24, 0xFFFFF58A13000000, priority=13, wait_time=ticks - 640), 15, [add_event(machine)])
    add_shared_data(machine, CRASH_TIME, UPTIME, 2)
    add_debugger_data(machine)
    machine.header.update(processors=2, context=context_record(registers), exception_code=0x80000003)
    machine.header.update(exception_address=registers["rip"], secondary_data_state=0)
    machine.tagged += [(SMBIOS, smbios("Forged Systems", "Pool Example", PROCESSOR_NAME))]
    machine.tagged += [(PROCESSOR_KEY, processor_key([("ProcessorNameString", PROCESSOR_NAME)]))]
    return machine, scene.symbols()


if __name__ == "__main__":
    write_example(Path(sys.argv[1]) if sys.argv[1:] else HERE, *build())
