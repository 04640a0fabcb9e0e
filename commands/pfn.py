"""`pfn`: what the page frame database says of a physical page.

Format: the example of the !pfn page in Microsoft's debugger documentation, and public transcripts of x64.
"""

from __future__ import annotations

from dumpkit.kernel.page_frame import PageFrame, page_frame
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Union


class PageFrameData(Record):
    """A page frame; addresses are virtual."""

    number: Hex
    address: Hex
    #: Links in a list, or what the page's users count.
    flink: Hex
    share_count: Hex
    pte_address: Hex
    reference_count: int
    #: NonCached, Cached, WriteComb or NotMapped; None where the Windows does not say.
    cache: Optional[str]
    priority: Optional[int]
    restore_pte: Hex
    #: The page frame that holds its page-table entry.
    containing_page: Hex
    #: Zeroed, Free, Standby, Modified, ModNoWrite, Bad, Active or Trans.
    location: str
    modified: bool
    prototype: bool
    read_in_progress: bool
    write_in_progress: bool
    in_page_error: bool


def page_frame_lines(result: PageFrameData) -> Iterator[Line]:
    yield f"    PFN {result.number:08X} at address {result.address:016X}"
    head: List[Union[str, Span]] = [f"    flink       {result.flink:08X}  blink / share count {result.share_count:08X}"]
    head += ["  pteaddress ", Span(f"{result.pte_address:016X}", "address", f"pte {result.pte_address:x}")]
    yield tuple(head)
    cache = f"{result.cache or '':<10}"
    priority = "" if result.priority is None else f"   Priority {result.priority}"
    yield f"    reference count {result.reference_count:04X}    used entry count  0000      {cache}color 0{priority}"
    letters = (
        ("M", result.modified),
        ("P", result.prototype),
        ("R", result.read_in_progress),
        ("W", result.write_in_progress),
        ("E", result.in_page_error),
    )
    marks = "".join(letter if is_set else " " for letter, is_set in letters)
    yield (
        f"    restore pte {result.restore_pte:08X}  containing page ",
        Span(f"{result.containing_page:06X}", "address", f"pfn {result.containing_page:x}"),
        f"  {result.location:<10} {marks:<8}",
    )
    words = (
        ("Modified", result.modified),
        ("Shared", result.prototype),
        ("ReadInProgress", result.read_in_progress),
        ("WriteInProgress", result.write_in_progress),
        ("InPageError", result.in_page_error),
    )
    text = " ".join(word for word, is_set in words if is_set)
    if text:
        yield f"    {text}"


@command(
    "pfn",
    category="Kernel",
    summary="What the page frame database says of a physical page",
    arguments=(Expression("number", "the page frame's number: what pte shows as pfn", True),),
    render=page_frame_lines,
)
def pfn(session: Session, number: int) -> PageFrameData:
    """Shows an entry of the page frame database: which list a physical page is in, how many use it, where its
    page-table entry is, and what that is put back to when the page leaves memory.
    """
    return _data(page_frame(session.dump, number))


def _data(frame: PageFrame) -> PageFrameData:
    return PageFrameData(
        Hex(frame.number),
        Hex(frame.address),
        Hex(frame.flink),
        Hex(frame.blink),
        Hex(frame.pte_address),
        frame.reference_count,
        frame.cache,
        frame.priority,
        Hex(frame.original_pte),
        Hex(frame.containing_page),
        frame.location_name,
        frame.modified,
        frame.prototype,
        frame.read_in_progress,
        frame.write_in_progress,
        frame.in_page_error,
    )
