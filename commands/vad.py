"""`vad`: the virtual address descriptors of a process.

Format: the example of the !vad page in Microsoft's debugger documentation, and public transcripts of Windows 11.
"""

from __future__ import annotations

from dumpkit.errors import CommandError
from dumpkit.gaps import Gaps
from dumpkit.kernel.address_descriptor import AddressDescriptor, DescriptorTree, descriptors
from dumpkit.kernel.io.file import FileObject
from dumpkit.kernel.process import Process
from dumpkit.output import Hex, Line, Span, hex_or_none
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Optional, Tuple

_PAGE = 0x1000
_ONE = 1
#: Kernel addresses begin above: a smaller number is one in the process.
_LOWEST_KERNEL_ADDRESS = 0xFFFF_8000_0000_0000


class VadData(Record):
    """A descriptor: of the pages [start, end], numbers of virtual pages. What cannot be read is None."""

    address: Hex
    level: int
    start: Optional[Hex]
    end: Optional[Hex]
    #: Pages.
    commit: Optional[int]
    private: Optional[bool]
    #: "Exe" for an image; "" for nothing special.
    kind: Optional[str]
    protection: Optional[str]
    file: Optional[Hex]
    file_name: Optional[str]
    #: Pages of a section of the paging file's.
    shared_commit: Optional[int]
    control_area: Optional[Hex]
    first_prototype_pte: Optional[Hex] = None
    last_prototype_pte: Optional[Hex] = None


class VadList(Record):
    """The descriptors, ascending; `is_detail` for one alone."""

    process: Hex
    vads: Tuple[VadData, ...]
    is_detail: bool
    #: What could not be read and why, one line each.
    problems: Tuple[str, ...]


def vad_lines(result: VadList) -> Iterator[Line]:
    if result.is_detail:
        for vad in result.vads:
            yield from _detail_lines(vad)
    else:
        yield f"{'VAD':<15} Level {'Start':>13} {'End':>15} {'Commit':>19}"
        for vad in result.vads:
            yield _row(vad)
        yield ""
        yield _total(result.vads)
        yield _pages("Total private commit", sum(vad.commit or 0 for vad in result.vads))
        yield _pages("Total shared commit", sum(vad.shared_commit or 0 for vad in result.vads), " ")
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def _row(vad: VadData) -> Line:
    commit = "?" if vad.commit is None else str(vad.commit)
    return (
        Span(f"{vad.address:016x}", "address", f"vad {vad.address:x} 1"),
        f" {vad.level:2d} {_number(vad.start):>15} {_number(vad.end):>15} {commit:>15} ",
        f"{_whose(vad)} {vad.protection or '?':<18} {_content(vad)}",
    )


def _number(value: Optional[int]) -> str:
    return "?" if value is None else f"{value:x}"


def _whose(vad: VadData) -> str:
    word = "?" if vad.private is None else "Private" if vad.private else "Mapped"
    return f"{word:<7} {vad.kind or '':<4}"


def _content(vad: VadData) -> str:
    if vad.file_name is not None:
        return vad.file_name
    if vad.shared_commit is not None:
        return f"Pagefile section, shared commit 0x{vad.shared_commit:x}"
    return ""


def _total(vads: Tuple[VadData, ...]) -> str:
    levels = [vad.level for vad in vads]
    average = sum(levels) // len(levels) if levels else 0
    return f"Total VADs: {len(levels)}, average level: {average}, maximum depth: {max(levels, default=0)}"


def _pages(title: str, pages: int, gap: str = "") -> str:
    return f"{title}: {gap}0x{pages:x} pages ({pages * _PAGE // 1024} KB)"


def _detail_lines(vad: VadData) -> Iterator[Line]:
    yield ""
    yield f"VAD @ {vad.address:x}"
    area = 0 if vad.control_area is None else int(vad.control_area)
    yield f"  Start VPN  {_number(vad.start):>16}  End VPN  {_number(vad.end):>16}  Control Area  {area:016x}"
    first, last = (0 if each is None else int(each) for each in (vad.first_prototype_pte, vad.last_prototype_pte))
    commit = vad.commit or 0
    yield f"  FirstProtoPte {first:016x}  LastPte {last:016x}  Commit Charge {commit:>8x} ({commit}.)"
    yield f"   {_whose(vad).strip()} {vad.protection or '?'}"
    if _content(vad):
        yield f"  {_content(vad)}"
    yield ""


@command(
    "vad",
    category="Kernel",
    summary="The regions of a process's user mode: VADs",
    arguments=(
        Expression("address", "the root of a tree, a VAD, or an address in the process; the current process's tree"),
        Expression("flags", "1: only the VAD at that address, or of the user-mode address, in detail"),
    ),
    render=vad_lines,
)
def vad(session: Session, address: int = 0, flags: int = 0) -> VadList:
    """Lists the virtual address descriptors of the current process (`.process` chooses another), or the tree below one
    of them: the pages of each, what is committed, what they are protected as, and the file or section behind them.

    vad                  those of the current process
    vad ffffa08f1234 1   one of them in detail
    vad 7ffebea0000 1    the one that an address of the process lies in
    """
    target = session.dump
    process = Process(target, session.process_address)
    reader = _Reader(Gaps())
    if address and address < _LOWEST_KERNEL_ADDRESS:
        found = descriptors(process).containing(address // _PAGE)
        if found is None:
            raise CommandError(f"no VAD of process {process.address:016x} has the address {address:x}")
        return VadList(Hex(process.address), (reader.data(found),), True, reader.gaps.lines())
    if address and flags & _ONE:
        one = AddressDescriptor(target, address)
        one.start  # noqa: B018  what is not there at all is one line
        return VadList(Hex(process.address), (reader.data(one),), True, reader.gaps.lines())
    tree = DescriptorTree(target, address) if address else descriptors(process)
    rows = tuple(reader.data(each) for each in tree)
    for problem in tree.problems:
        reader.gaps.add("the tree of VADs", problem)
    return VadList(Hex(process.address), rows, False, reader.gaps.lines())


class _Reader:
    """Reads descriptors, and keeps what is missing."""

    def __init__(self, gaps: Gaps) -> None:
        self.gaps = gaps

    def data(self, vad: AddressDescriptor) -> VadData:
        what = f"VAD {vad.address:016x}"

        def read(name: str) -> Any:
            return self.gaps.read(what, lambda: getattr(vad, name))

        start = read("start")
        if start is None:
            # One reason is enough for one that is not there.
            return VadData(Hex(vad.address), vad.level, *[None] * 10)
        area, file = read("control_area"), read("file")
        private = read("is_private")
        full = None if private else vad.target.type("_MMVAD").at(vad.address)
        return VadData(
            Hex(vad.address),
            vad.level,
            Hex(start),
            hex_or_none(read("end")),
            read("commit"),
            private,
            read("kind"),
            read("protection"),
            hex_or_none(file),
            self.gaps.read(f"the file of {what}", lambda: FileObject(vad.target, file).name) if file else None,
            read("shared_commit"),
            hex_or_none(None if area is None else int(area)),
            None if full is None else hex_or_none(full.get("FirstPrototypePte")),
            None if full is None else hex_or_none(full.get("LastContiguousPte")),
        )
