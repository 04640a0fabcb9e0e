"""Machines with nothing but pools: of the segment heap, and of the classic kind."""

from __future__ import annotations

from typing import Iterable, List, Optional, Tuple

from dumpkit.kernel.pool.block import Block, tag_text

from tests.forge.kernel_variables import VARIABLES
from tests.forge.layout import windows
from tests.forge.machine import Machine
from tests.forge.pool import Pool, set_system_va_types
from tests.forge.target import MachineTarget

NONPAGED, PAGED_AREA, SPECIAL_AREA, OTHER = (
    0xFFFFA08F24000000,
    0xFFFFD80112300000,
    0xFFFFB98851F00000,
    0xFFFF80091002A000,
)
#: The words that a kernel before the segment heap does not have.
_HEAP_WORDS = ("_HEAP_", "_SEGMENT_HEAP", "_EX_POOL_HEAP", "_EX_HEAP", "_RTLP_HP", "_RTL_DYNAMIC", "_RTL_LOOKASIDE")
REGIONS = {NONPAGED: "NonPagedPool", PAGED_AREA: "PagedPool", SPECIAL_AREA: "SpecialPoolPaged"}
COOKIE = 0x5A17C0DE12345678
#: Tag -> nonpaged allocations and their bytes, paged ones and theirs.
TAG_COUNTS = {
    "File": (40, 13280, 0, 0),
    "Scbf": (1, 520, 2, 384),
    "Mine": (0, 0, 7, 49480),
    "None": (0, 0, 0, 0),
}


def bare_machine(build: int) -> Machine:
    """A machine whose kernel's variables have addresses, zeros in those of a few words, and no images."""
    machine = Machine(build)
    machine.layouts = windows(build, "memory")
    at = 0xFFFFF80312000000
    for name, size in VARIABLES.items():
        machine.globals[name] = at
        if size <= 0x400:
            machine.put(at, bytes(size))
        at += -(-size // 0x1000) * 0x1000
    machine.set_global("ExpPoolQuotaCookie", COOKIE)
    return machine


class HeapLab:
    """A kernel of Windows 10 2004 or later: nonpaged and paged heaps, types for the regions of the address space."""

    def __init__(self, build: int = 19041) -> None:
        self.machine = bare_machine(build)
        self.pool = Pool(self.machine)
        self.pool.map_state()
        self.machine.put(self.pool.state.at("PoolNode[0].Lookasides"), bytes(0x2080))
        set_system_va_types(self.machine, REGIONS)
        self.target = MachineTarget(self.machine)


class ClassicLab:
    """A kernel from before the segment heap; `table` says whether it has _MI_VISIBLE_STATE or nt!MiSystemVaType."""

    def __init__(self, build: int = 17763) -> None:
        self.machine = bare_machine(19041)
        self.machine.build = build
        self.target = MachineTarget(self.machine)
        self.target.symbols.without |= {name for name in self.machine.layouts if name.startswith(_HEAP_WORDS)} | {
            "ExPoolState",
            "RtlpHpHeapGlobals",
        }
        if build >= 10240:
            set_system_va_types(self.machine, REGIONS)
        else:
            self.target.symbols.without |= {"_MI_VISIBLE_STATE", "_MI_SYSTEM_INFORMATION", "MiVisibleState", "MiState"}
            self.machine.globals["MiSystemVaType"] = 0xFFFFF80311000000
            types = bytearray(256)
            for address, number in ((NONPAGED, 5), (PAGED_AREA, 6), (SPECIAL_AREA, 7)):
                types[address >> 39 & 0xFF] = number
            self.machine.put(0xFFFFF80311000000, bytes(types))


def shown(blocks: Iterable[Block]) -> List[Tuple[int, int, Optional[bool], Optional[str]]]:
    """What a listing says of blocks: (address, size, allocated, tag of those that are)."""
    return [
        (block.address, block.size, block.allocated, tag_text(block.tag) if block.allocated and block.tag else None)
        for block in blocks
    ]


def mapped_pages(lab: HeapLab) -> List[int]:
    """The pages that anything of the pool lies in; page tables, which the self-map shows as pages, are left out."""
    memory, machine = lab.target.memory, lab.machine
    found: List[int] = []
    address = 0xFFFF800000000000
    while True:
        place = memory.next_readable(address, 0xFFFFFFFFFFFFF000)
        if place is None:
            return found
        if place >> 39 & 0x1FF == machine.self_map:
            address = (place | (1 << 39) - 1) + 1
            continue
        found.append(place & -0x1000)
        address = (place & -0x1000) + 0x1000
