"""`handle`: the handles of a process, of the kernel, or of all processes.

Format: the kernel-mode examples of the !handle page in Microsoft's debugger documentation, and public transcripts.
"""

from __future__ import annotations

from dumpkit.commands.object import NAMES, ObjectData, header_lines, object_data
from dumpkit.commands.process_block import ProcessBlock, process_block, process_block_lines
from dumpkit.errors import CommandError, DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.handle_table import AUDIT, INHERIT, PROTECT, Handle, HandleTable, id_table, kernel_handle_table
from dumpkit.kernel.object_header import KernelObject
from dumpkit.kernel.process import Process, find_process, processes
from dumpkit.numbers import pointer
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

#: The flags of !handle.
BASIC, OBJECTS, FREE, KERNEL, IDS = 1, 2, 4, 0x10, 0x20
_DEFAULT = BASIC | OBJECTS
_USAGE = "handle [HANDLE [FLAGS [PROCESS [TYPE]]]]"
_ALL = 0xFFFF_FFFF_FFFF_FFFF
#: Smaller numbers are ids of processes, not addresses.
_LOWEST_ADDRESS = 1 << 32
#: The id of System, always.
_SYSTEM = 4
_WORDS = ((PROTECT, "Protected"), (INHERIT, "Inherit"), (AUDIT, "Audit"))


class HandleRow(Record):
    """A handle; `object` is the object's virtual address, 0 where the entry is free."""

    handle: Hex
    object: Hex
    granted_access: Hex
    attributes: Tuple[str, ...]
    entry: Hex
    next_free: Hex
    type: Optional[str]
    details: Optional[ObjectData]


class HandleTableData(Record):
    """The handles of one table that were asked for."""

    #: The process whose table it is, or whose handle was asked for in the kernel's.
    process: Optional[ProcessBlock]
    #: "", "Kernel" or "Process and thread id".
    kind: str
    address: Hex
    entries_in_use: Optional[int]
    handles: Tuple[HandleRow, ...]
    notes: Tuple[str, ...]


class Handles(Record):
    """Tables of handles."""

    #: What was searched for, where a type was named.
    type: Optional[str]
    all_processes: bool
    tables: Tuple[HandleTableData, ...]
    notes: Tuple[str, ...]
    _flags: int = _DEFAULT


def handle_lines(result: Handles) -> Iterator[Line]:
    if result.all_processes:
        yield ""
        yield "**** NT ACTIVE PROCESS HANDLE DUMP ****"
    if result.type is not None:
        yield ""
        yield f"Searching for handles of type {result.type}"
    for table in result.tables:
        yield ""
        yield from _table_lines(table, result._flags)
    for note in result.notes:
        yield (Span(note, "warning"),)


def _table_lines(table: HandleTableData, flags: int) -> Iterator[Line]:
    if table.process is not None:
        yield from process_block_lines(table.process)
        yield ""
    title = f"{table.kind} handle table" if table.kind else "Handle table"
    count = "an unknown number of" if table.entries_in_use is None else table.entries_in_use
    yield f"{title} at {pointer(table.address)} with {count} entries in use"
    yield ""
    for row in table.handles:
        yield from _handle_lines(row, flags)
    for note in table.notes:
        yield (Span(note, "warning"),)


def _handle_lines(row: HandleRow, flags: int) -> Iterator[Line]:
    if not row.object:
        yield f"{row.handle:04x}: free handle, Entry address {pointer(row.entry)}, Next Entry {pointer(row.next_free)}"
        return
    words = "".join(f" ({word})" for word in row.attributes)
    entry = f" Entry: {pointer(row.entry)}" if flags & BASIC else ""
    link = Span(pointer(row.object), "address", f"object {row.object:x}")
    yield (f"{row.handle:04x}: Object: ", link, f"  GrantedAccess: {row.granted_access:08x}{words}{entry}")
    if flags & OBJECTS:
        if row.details is not None:
            yield from header_lines(row.details, " " * 8)
        yield ""


@command(
    "handle",
    category="Kernel",
    summary="Handles of a process, of the kernel or of all processes",
    arguments=(Text("query", "HANDLE (0: all), flags, process (0: all), type"),),
    render=handle_lines,
)
def handle(session: Session, query: str = "") -> Handles:
    """Shows handles: handle 4, handle 0 3 PROCESS, handle 0 3 0 Section.

    HANDLE is 0, or -1, for all of a table; one with the high bit set is the kernel's. Flags, added up: 1 the
    table's entries, 2 the objects (both by default), 4 free entries too, 0x10 the kernel's table, 0x20 HANDLE is
    a process's or thread's id. PROCESS is an address or an id, -1 the current one, 0 all of them. TYPE restricts
    what is shown to one type of objects: File, Key, Event.
    """
    target = session.dump
    values, rest = _numbers(session, query)
    wanted = values[0] if values else None
    flags = values[1] if len(values) > 1 else _DEFAULT
    which = values[2] if len(values) > 2 else None
    type = rest or None
    one = None if wanted in (None, 0, _ALL) else wanted
    gaps = Gaps()
    if which == 0 and not flags & (KERNEL | IDS):
        tables = _tables_of_all(target, one, flags, type, gaps)
        return Handles(type, True, tuple(tables), gaps.lines(), flags)
    process = _process(session, which)
    table = _table(target, process, one, flags)
    return Handles(type, False, (_data(target, process, table, one, flags, type),), gaps.lines(), flags)


def _numbers(session: Session, query: str) -> Tuple[List[int], str]:
    """Up to three expressions at the start, and the word behind the third.

    White space parts them, other than in a calculation: `3 -1` is a flag and a process.
    """
    words = list(_words(query))
    values = [_ALL if word == "-1" else session.evaluate(word) for word in words[:3]]
    rest = " ".join(words[3:])
    if len(words) > 4:
        raise CommandError(f"handle: '{rest}' is no type of objects", _USAGE)
    return values, rest


def _words(text: str) -> Iterator[str]:
    """The words of a text; parentheses hold white space together."""
    depth = 0
    word = ""
    for character in text.strip():
        if character.isspace() and depth <= 0:
            if word:
                yield word
            word = ""
            continue
        depth += (character == "(") - (character == ")")
        word += character
    if word:
        yield word


def _process(session: Session, which: Optional[int]) -> Optional[Process]:
    target = session.dump
    if which in (None, _ALL, 0):
        try:
            return Process(target, session.process_address)
        except DumpkitError:
            return None
    assert which is not None
    if which >= _LOWEST_ADDRESS:
        process = Process(target, which)
        if not process.is_valid:
            raise CommandError(f"{which:016x} is not a process")
        return process
    found = find_process(target, which)
    if found is None:
        raise CommandError(f"no process has the id {which:x}")
    return found


class _Table(Record):
    kind: str
    table: HandleTable


def _table(target: Target, process: Optional[Process], one: Optional[int], flags: int) -> _Table:
    """The table that a handle or the flags name. Raises DumpkitError where there is none."""
    if flags & IDS:
        return _Table("Process and thread id", id_table(target))
    if flags & KERNEL or (one is not None and one & 0x8000_0000):
        return _Table("Kernel", kernel_handle_table(target))
    if process is None:
        raise CommandError("the current process is not known: name one behind the flags", _USAGE)
    address = process.object_table
    if not address:
        raise CommandError(f"process {process.address:016x} has no handle table")
    return _Table("Kernel" if _is_kernels(target, process, address) else "", HandleTable(target, address))


def _is_kernels(target: Target, process: Process, address: int) -> bool:
    """Whether a process's table is the kernel's: that of System."""
    try:
        return kernel_handle_table(target).address == address
    except DumpkitError:
        return bool(process.record.get("UniqueProcessId") == _SYSTEM)


def _tables_of_all(
    target: Target, one: Optional[int], flags: int, type: Optional[str], gaps: Gaps
) -> Iterator[HandleTableData]:
    listed = processes(target)
    for process in listed:
        try:
            table = _table(target, process, None, flags)
            yield _data(target, process, table, one, flags, type)
        except DumpkitError as error:
            gaps.add(f"process {process.address:016x}", error)
    if not listed.complete:
        gaps.add("the list of processes", listed.ended)


def _data(
    target: Target, process: Optional[Process], found: _Table, one: Optional[int], flags: int, type: Optional[str]
) -> HandleTableData:
    gaps = Gaps()
    table = found.table
    block = process_block(process, gaps) if process is not None and not flags & IDS else None
    entries = iter([table.entry(one)]) if one is not None else iter(table)
    rows = tuple(_rows(target, entries, one, flags, type, gaps))
    for damage in table.damage:
        gaps.add("the table", damage)
    count = gaps.read("how many are in use", lambda: table.handle_count)
    return HandleTableData(block, found.kind, Hex(table.address), count, rows, gaps.lines())


def _rows(
    target: Target, entries: Iterator[Handle], one: Optional[int], flags: int, type: Optional[str], gaps: Gaps
) -> Iterator[HandleRow]:
    # Entries lead to headers; those of the table of ids to the objects themselves.
    offset = 0 if flags & IDS else target.type("_OBJECT_HEADER").offset("Body")
    for entry in entries:
        if entry.is_free:
            if one is not None or (flags & FREE and type is None):
                yield _row(entry, 0, None, None)
            continue
        address = entry.pointer + offset & 0xFFFF_FFFF_FFFF_FFFF
        kind = details = None
        if flags & OBJECTS or type is not None:
            object = KernelObject(target, address)
            kind = object.type_name
            if type is not None and kind != type:
                continue
            if flags & OBJECTS:
                try:
                    details = object_data(object, NAMES)
                except DumpkitError as error:
                    gaps.add(f"the object of handle {entry.value:04x}", error)
        yield _row(entry, address, kind, details)


def _row(entry: Handle, address: int, kind: Optional[str], details: Optional[ObjectData]) -> HandleRow:
    return HandleRow(
        Hex(entry.value),
        Hex(address),
        Hex(entry.granted_access),
        tuple(word for bit, word in _WORDS if entry.attributes & bit),
        Hex(entry.entry),
        Hex(entry.next_free),
        kind,
        details,
    )
