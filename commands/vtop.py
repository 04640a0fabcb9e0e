"""`!vtop` and `!ptov`: a virtual address through page tables to its physical one, and every page that tables map."""

from __future__ import annotations

from dumpkit.errors import CommandError
from dumpkit.kernel.paging import PageState, VirtualMemory
from dumpkit.memory import PAGE_SIZE, U64_MASK, AddressSpace
from dumpkit.named_tuple import NamedTuple
from dumpkit.output import Hex, Line, Span, hex_or_none
from dumpkit.record import Record
from dumpkit.registers import ARM64
from dumpkit.registry import Expression, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator, List, Optional, Tuple

#: The engine's names of the entries, which are those of the processor's manuals.
_NAMES = {"PXE": "PML4E", "PPE": "PDPE"}
#: NTSTATUS of a page that is not there, as the engine's HRESULT.
_NOT_AVAILABLE = 0xD0000147
_SIZES = {PAGE_SIZE: "", 1 << 21: " (2MB large page)", 1 << 30: " (1GB large page)"}
_VALID = 1
#: Tables that one walk looks at: those of 1 TB.
_MOST_TABLES = 1 << 19


class Step(Record):
    """An entry on the way: its physical address and its value; None where its page is not in the dump."""

    name: str
    address: Hex
    value: Optional[Hex]


class Translated(Record):
    """A virtual address walked through the page tables of a directory base."""

    address: Hex
    directory_base: Hex
    steps: Tuple[Step, ...]
    #: "valid", "transition", "prototype" …
    state: str
    physical: Optional[Hex]
    #: Bytes that the last entry maps.
    page_size: int
    #: Why the byte there cannot be read; "readable" where it can.
    reason: str
    _prefix: str = "Amd64"


class MappedPage(NamedTuple):
    """A page of `size` bytes that page tables map."""

    physical: Hex
    address: Hex
    size: int


class Mappings(Record):
    """Every page that the tables of a directory base map, found while they are gone through."""

    directory_base: Hex
    pages: Iterable[MappedPage]
    _prefix: str = "Amd64"


def vtop_lines(result: Translated) -> Iterator[Line]:
    prefix = f"{result._prefix}VtoP"
    yield f"{prefix}: Virt {result.address:016x}, pagedir {result.directory_base:016x}"
    for step in result.steps:
        yield f"{prefix}: {_NAMES.get(step.name, step.name)} {step.address:016x}"
    address = Span(f"{result.address:x}", "address", f"pte {result.address:x}")
    if result.physical is None:
        is_zero = bool(result.steps) and result.steps[-1].value == 0
        yield f"{prefix}: " + (f"zero {_last_name(result)}" if is_zero else result.reason)
        yield ("Virtual address ", address, f" translation fails, error 0x{_NOT_AVAILABLE:X}.")
        return
    kind = "Mapped" if result.page_size == PAGE_SIZE else "Large page mapped"
    yield f"{prefix}: {kind} phys {result.physical:016x}"
    if result.state != PageState.VALID.value:
        yield f"{prefix}: the page is not valid ({result.state}), its content is still there"
    yield (
        "Virtual address ",
        address,
        " translates to physical address ",
        Span(f"{result.physical:x}", "address", f"!db {result.physical:x}"),
        ".",
    )
    if result.reason != "readable":
        yield (Span(f"That page cannot be read: {result.reason}", "warning"),)


def _last_name(result: Translated) -> str:
    name = result.steps[-1].name
    return _NAMES.get(name, name)


def ptov_lines(result: Mappings) -> Iterator[Line]:
    yield f"{result._prefix}PtoV: pagedir {result.directory_base:016x}"
    for page in result.pages:
        yield f"{page.physical:016x} {page.address:016x}{_SIZES.get(page.size, '')}"


def _tables(session: Session, directory_base: int) -> VirtualMemory:
    """The address space under a directory base; 0 stands for the current process's. Raises CommandError."""
    target = session.dump
    memory = target.memory
    if target.physical is None or not isinstance(memory, VirtualMemory):
        raise CommandError("this target has no physical memory: its page tables cannot be walked")
    root = directory_base or memory.root
    return VirtualMemory(target.physical, root, memory.scheme, memory.invalid_pte_mask)


def _prefix(session: Session) -> str:
    return "Arm64" if session.dump.architecture is ARM64 else "Amd64"


@command(
    "vtop",
    category="Memory",
    summary="The physical address of a virtual one, by the page tables of a directory base",
    arguments=(
        Expression("dirbase", "the physical address of the topmost table; 0: the current process's", required=True),
        Expression("address", "a virtual address", required=True),
    ),
    render=vtop_lines,
)
def vtop(session: Session, dirbase: int, address: int) -> Translated:
    """Walks page tables: vtop DIRBASE ADDRESS, with the DirBase that `process` shows, or 0.

    Each entry is shown by its physical address. A page in transition, and one that a prototype entry leads to,
    count as mapped, as their content is there.
    """
    memory = _tables(session, dirbase)
    found = memory.translate(address & U64_MASK)
    return Translated(
        Hex(found.address),
        Hex(memory.root),
        tuple(Step(each.name, Hex(each.address), hex_or_none(each.value)) for each in found.levels),
        found.state.value,
        hex_or_none(found.physical),
        found.page_size,
        found.reason,
        _prefix(session),
    )


class _Pages:
    """The pages that the tables of an address space map, ascending by virtual address; the self-map is left out."""

    def __init__(self, memory: VirtualMemory) -> None:
        self._memory = memory
        self._physical: AddressSpace = memory.physical
        self._left = _MOST_TABLES

    def __iter__(self) -> Iterator[MappedPage]:
        self._left = _MOST_TABLES
        return self._below(self._memory.root, self._memory.scheme.levels - 1, 0)

    def _below(self, table: int, level: int, base: int) -> Iterator[MappedPage]:
        scheme = self._memory.scheme
        data = self._physical.read_prefix(table, PAGE_SIZE)
        self._left -= 1
        span = 1 << 12 + 9 * level
        for index, entry in enumerate(_entries(data)):
            if not entry & _VALID or self._left < 0:
                continue
            address = base + index * span
            if level == scheme.levels - 1 and index >= 256:
                address |= U64_MASK & -(span << 9)
            physical = entry & scheme.address_mask
            if not level or entry & scheme.large_mask == scheme.large_value:
                if level < 3:
                    yield MappedPage(Hex(physical & -span), Hex(address), span)
            elif physical != self._memory.root:
                yield from self._below(physical, level - 1, address)


def _entries(data: bytes) -> List[int]:
    return [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data) & -8, 8)]


@command(
    "ptov",
    category="Memory",
    summary="Every page that the page tables of a directory base map",
    arguments=(
        Expression("dirbase", "the physical address of the topmost table; 0: the current process's", required=True),
    ),
    render=ptov_lines,
)
def ptov(session: Session, dirbase: int) -> Mappings:
    """Shows every page that page tables map: its physical address, then its virtual one.

    Tables that are not in the dump are passed over, and so is the entry by which they map themselves.
    """
    memory = _tables(session, dirbase)
    return Mappings(Hex(memory.root), _Pages(memory), _prefix(session))
