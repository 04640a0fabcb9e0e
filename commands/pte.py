"""`!pte`: the page-table entries of a virtual address, and what they say of its page."""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError
from dumpkit.kernel.page_table_entry import (
    VALID,
    EntryKind,
    EntryMeaning,
    PageTableMap,
    PageWalk,
    flags,
    invalid_pte_mask,
    meaning,
    page_table_map,
    protection_name,
    walk,
)
from dumpkit.kernel.paging import LEVEL_NAMES
from dumpkit.memory import U64_MASK
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registers import ARM64, Architecture
from dumpkit.registry import Expression, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

#: Entries that one command shows.
_MOST = 4096
_CELL = 27
_NOTE = " " * 82


class Entry(Record):
    """An entry of the page tables; `value` is None where its page is not in the dump."""

    name: str
    address: Hex
    value: Optional[Hex]
    #: The page frame number of the table that it is in.
    table: Optional[Hex]
    #: Of a valid entry: the page frame number that it leads to, and its letters.
    pfn: Optional[Hex] = None
    flags: Optional[str] = None


class AddressEntries(Record):
    """The entries that lead to a virtual address, the topmost first."""

    address: Hex
    entries: Tuple[Entry, ...]
    #: What the last one says: "valid", "transition", "prototype" …
    state: str
    #: The page frame number of the page, where it has one.
    pfn: Optional[Hex]
    large: bool
    #: The virtual address of a prototype PTE or a subsection.
    leads_to: Optional[Hex]
    page_file: Optional[int]
    page_file_offset: Optional[Hex]
    protection: Optional[int]
    #: Why the last entry could not be read.
    reason: str
    #: Whether a processor takes the address for one at all.
    canonical: bool = True
    #: The virtual addresses of the entries that the tables above do not reach, as (name, address).
    _addresses: Tuple[Tuple[str, int], ...] = ()
    _literal: bool = False


class PageTableEntries(Record):
    """The entries of one virtual address, or of the pages of a range."""

    pte_base: Hex
    #: Where PteBase is from.
    source: str
    #: Levels of the page tables.
    levels: int
    addresses: Tuple[AddressEntries, ...]
    #: The next virtual address of a range that is not shown.
    more: Optional[Hex] = None
    _architecture: Optional[Architecture] = None


def _notes(each: AddressEntries) -> Iterator[str]:
    """What stands below "not valid"."""
    if each.state == EntryKind.FREED.value:
        yield "Page has been freed"
    elif each.state == EntryKind.PROTOTYPE.value:
        yield f"Proto: {each.leads_to:016X}"
    elif each.state == EntryKind.SUBSECTION.value:
        yield f"Subsection: {each.leads_to:016X}"
    elif each.state == EntryKind.VAD.value:
        yield "Proto: VAD"
    elif each.state == EntryKind.TRANSITION.value:
        yield f"Transition: {each.pfn:x}"
    elif each.state == EntryKind.PAGE_FILE.value:
        yield f"PageFile:  {each.page_file}"
        yield f"Offset: {each.page_file_offset:x}"
    elif each.state == EntryKind.DEMAND_ZERO.value:
        yield "DemandZero"
    if each.protection is not None:
        yield f"Protect: {each.protection:x} - {protection_name(each.protection)}"


def _row(cells: List[str]) -> str:
    return "".join(cell.ljust(_CELL) for cell in cells).rstrip()


def _valid_cell(entry: Entry, width: int) -> str:
    return f"pfn {entry.pfn or 0:<{width}x}{entry.flags}"


def _block(each: AddressEntries, width: int) -> Iterator[Line]:
    yield f"{' ' * 43}VA {each.address:016x}"
    if not each.canonical:
        yield "This is no canonical address: the entries are those of its low bits"
    entries = list(each.entries)
    addresses = list(each._addresses)
    if len(addresses) == 5:
        yield from _fifth_level(entries, addresses, width)
    yield _row([f"{name} at {address:016X}" for name, address in addresses])
    if each.reason:
        missing = each.entries[-1]
        if missing.table is not None:
            yield f'Page {missing.table:x} not present in the dump file. Type ".hh dbgerr004" for details'
        # The debugger calls a PPE so, too.
        name = "PXE" if missing.name == "PPE" else missing.name
        why = f" ({each.reason})" if missing.table is None else ""
        yield f"Unable to get {name} {missing.address:016X}{why}"
        return
    if not entries:
        return
    last = entries[-1]
    is_short = len(entries) < len(addresses) and not each.large
    shown = entries if not is_short else entries[:-1] or entries
    values = [entry.value or 0 for entry in entries] + [0] * (len(addresses) - len(entries) if each.large else 0)
    yield _row([f"contains {value:016X}" for value in values])
    cells = [_valid_cell(entry, width) for entry in shown if entry.flags is not None]
    if each.large:
        cells.append(f"LARGE PAGE pfn {each.pfn or 0:x}")
    elif last.flags is None and is_short:
        cells.append(f"contains {last.value or 0:016X}")
    elif last.flags is None:
        cells.append("not valid")
    yield _row(cells)
    if is_short and last.flags is None:
        yield "not valid"
    for note in _notes(each) if last.flags is None else ():
        yield _NOTE + note if not each._literal else note


def _fifth_level(entries: List[Entry], addresses: List[Tuple[str, int]], width: int) -> Iterator[str]:
    """The topmost of five levels on a line of its own: the four below it are those that everyone knows."""
    name, address = addresses.pop(0)
    top = entries.pop(0)
    text = f"5-level paging: {name} at {address:016X}"
    if top.value is not None:
        text += f"  contains {top.value:016X}  "
        text += _valid_cell(top, width) if top.flags is not None else "not valid"
    yield text


def pte_lines(result: PageTableEntries) -> Iterator[Line]:
    width = 11 if result._architecture is ARM64 else 10
    for number, each in enumerate(result.addresses):
        if number:
            yield ""
        yield from _block(each, width)
    if result.more is not None:
        yield (Span(f"{_MOST} entries are shown; the next is that of {result.more:016x}", "warning"),)


def _entry(target: Target, name: str, address: int, value: Optional[int], table: Optional[int], mask: int) -> Entry:
    pfn, letters = None, None
    if value is not None and value & VALID:
        pfn = Hex((value & mask) >> 12)
        letters = flags(value, target.architecture)
    holder = Hex(table) if table is not None else None
    return Entry(name, Hex(address), Hex(value) if value is not None else None, holder, pfn, letters)


def _described(target: Target, found: PageWalk, tables: PageTableMap, said: Optional[EntryMeaning]) -> AddressEntries:
    scheme = tables.scheme
    entries = tuple(_entry(target, *each, scheme.address_mask) for each in found.entries)
    levels = range(scheme.levels - 1, -1, -1)
    addresses = tuple((LEVEL_NAMES[level], tables.entry_address(found.address, level)) for level in levels)
    pfn = said.pfn if said is not None else None
    if pfn is not None and found.is_large:
        pfn = (pfn & -(found.span >> 12)) + ((found.address & found.span - 1) >> 12)
    return AddressEntries(
        Hex(found.address),
        entries,
        said.kind.value if said is not None else "unknown",
        Hex(pfn) if pfn is not None else None,
        found.is_large,
        Hex(said.address) if said is not None and said.address is not None else None,
        said.page_file if said is not None else None,
        Hex(said.offset) if said is not None and said.offset is not None else None,
        said.protection if said is not None else None,
        found.reason,
        tables.is_canonical(found.address),
        addresses,
    )


def _of_address(target: Target, tables: PageTableMap, address: int) -> Tuple[AddressEntries, int]:
    """The entries of a virtual address, and how many bytes the last of them maps."""
    found = walk(target, tables, address)
    value = found.entries[-1].value
    said = None
    if value is not None:
        said = meaning(value, tables.scheme, invalid_pte_mask(target) if not value & VALID and value else 0)
    return _described(target, found, tables, said), found.span


def _literal(target: Target, tables: PageTableMap, address: int) -> AddressEntries:
    """The entry at an address, taken for a (prototype) PTE whatever the address is."""
    value = target.memory.u64(address)
    said = meaning(value, tables.scheme, invalid_pte_mask(target), in_prototype=True)
    entry = _entry(target, "PTE", address, value, None, tables.scheme.address_mask)
    return AddressEntries(
        Hex(address),
        (entry,),
        said.kind.value,
        Hex(said.pfn) if said.pfn is not None else None,
        False,
        Hex(said.address) if said.address is not None else None,
        said.page_file,
        Hex(said.offset) if said.offset is not None else None,
        said.protection,
        "",
        True,
        (("PTE", address),),
        True,
    )


def _range(target: Target, tables: PageTableMap, start: int, end: int) -> Tuple[List[AddressEntries], Optional[int]]:
    """The entries of the pages from one address to another, and the first that is left out."""
    found: List[AddressEntries] = []
    address = start & -0x1000
    while address <= end:
        if len(found) == _MOST:
            return found, address
        each, span = _of_address(target, tables, address)
        found.append(each)
        address = (address | span - 1) + 1
    return found, None


@command(
    "pte",
    category="Memory",
    summary="The page-table entries of a virtual address",
    arguments=(
        Expression("address", "a virtual address, or that of an entry in the page tables", required=True),
        Expression("end", "the last address of a range; or 1: ADDRESS is that of an entry, wherever it is"),
    ),
    render=pte_lines,
)
def pte(session: Session, address: int, end: Optional[int] = None) -> PageTableEntries:
    """Shows the entries of the page tables that lead to a virtual address of the current process (see .process).

    pte ADDRESS        the entries of that address
    pte ENTRY          the address of an entry in the page tables: those of the address that it maps
    pte ENTRY 1        the entry there, though not in the page tables: a prototype PTE
    pte START END      the entries of every page from START to END; where an upper entry leads nowhere, once

    The letters of a valid entry: C copy on write, G global, L large page, D dirty, A accessed, N not cached,
    T write through, U user or K kernel, W writable or R read only, E executable, V valid; on ARM64 X and x
    are executable by the kernel and by programs. Where the debugger data block does not say where the tables
    are, their self-map does.
    """
    target = session.dump
    address &= U64_MASK
    try:
        tables = page_table_map(target)
        more: Optional[int] = None
        if end == 1:
            found = [_literal(target, tables, address)]
        elif end is not None:
            if end < address:
                raise CommandError(f"pte: END {end:016x} lies before START {address:016x}", "pte START END")
            found, more = _range(target, tables, address, end)
        else:
            if address in tables:
                address = tables.mapped_by(address)
            found = [_of_address(target, tables, address)[0]]
    except CommandError:
        raise
    except DumpkitError as error:
        raise CommandError(f"pte: {error}") from error
    return PageTableEntries(
        Hex(tables.base),
        tables.source,
        tables.scheme.levels,
        tuple(found),
        Hex(more) if more is not None else None,
        target.architecture,
    )
