"""The lines that kdexts heads a process with: PROCESS, ids, page tables, handles, image."""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process
from dumpkit.numbers import padded, pointer
from dumpkit.output import Hex, Line, Span, hex_or_none
from dumpkit.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional


class ProcessBlock(Record):
    """A process in short; what cannot be read is None."""

    address: Hex
    session: Optional[int]
    pid: Optional[Hex]
    peb: Optional[Hex]
    parent_pid: Optional[Hex]
    directory_table_base: Optional[Hex]
    handle_table: Optional[Hex]
    handle_count: Optional[int]
    image: Optional[str]


def process_block(process: Process, gaps: Gaps) -> ProcessBlock:
    """The facts of the block; what is missing goes to `gaps`."""
    what = f"process {process.address:016x}"
    table = gaps.read(f"the handle table of {what}", lambda: process.object_table)
    return ProcessBlock(
        Hex(process.address),
        gaps.read(f"the session of {what}", lambda: process.session_id),
        hex_or_none(gaps.read(f"the id of {what}", lambda: process.pid)),
        hex_or_none(gaps.read(f"the PEB of {what}", lambda: process.peb)),
        hex_or_none(gaps.read(f"the parent of {what}", lambda: process.parent_pid)),
        hex_or_none(gaps.read(f"the page tables of {what}", lambda: process.directory_table_base)),
        hex_or_none(table),
        _handle_count(process, table) if table else table,
        gaps.read(f"the image of {what}", lambda: process.name),
    )


def _handle_count(process: Process, table: int) -> Optional[int]:
    from dumpkit.kernel.handle_table import HandleTable

    try:
        return HandleTable(process.target, table).handle_count
    except DumpkitError:
        return None


def process_block_lines(block: ProcessBlock) -> Iterator[Line]:
    yield ("PROCESS ", Span(pointer(block.address), "address", f"process {block.address:x} 7"))
    session = "none" if block.session is None else str(block.session)
    yield (
        f"    SessionId: {session}  Cid: {padded(block.pid, 4)}    Peb: {padded(block.peb, 8)}  "
        f"ParentCid: {padded(block.parent_pid, 4)}"
    )
    count = "<Data Not Accessible>" if block.handle_count is None else f"{block.handle_count:3d}."
    yield (
        f"    DirBase: {padded(block.directory_table_base, 8)}  ObjectTable: {padded(block.handle_table, 8)}  "
        f"HandleCount: {count}"
    )
    yield f"    Image: {block.image if block.image is not None else '????'}"
