"""The page frame database: what Windows knows of each physical page.

_MMPFN of the kernel's symbols; the lists that a page can be in: Windows Internals, part 1, chapter 5.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

#: Physical memory ends here in every Windows.
_MOST_PAGES = 1 << 40

#: u3.e1.PageLocation (MMLISTS).
_LOCATIONS = ("Zeroed", "Free", "Standby", "Modified", "ModNoWrite", "Bad", "Active", "Trans")
ACTIVE = 6
#: u3.e1.CacheAttribute.
_CACHE = ("NonCached", "Cached", "WriteComb", "NotMapped")


class PageFrame(NamedTuple):
    """A page frame. `flink` and `blink` mean by `location` what the lists or the page's users made them.

    Letters as the debugger prints them: M modified, P of a prototype PTE, R being read, W being written, I error.
    """

    number: int
    #: Virtual address of the _MMPFN.
    address: int
    flink: int
    blink: int
    pte_address: int
    original_pte: int
    reference_count: int
    containing_page: int
    location: Optional[int]
    cache: Optional[str]
    priority: Optional[int]
    modified: bool
    prototype: bool
    read_in_progress: bool
    write_in_progress: bool
    in_page_error: bool

    @property
    def location_name(self) -> str:
        """The list that it is in, or that it is used."""
        return "?" if self.location is None else _LOCATIONS[self.location & 7]


def database_address(target: Target) -> int:
    """The virtual address of the page frame database. Raises DumpkitError where the dump does not tell it."""
    place = target.memory.u64_optional(target.symbols.address_of("nt!MmPfnDatabase"))
    if not place:
        raise DumpkitError("where the page frame database lies (nt!MmPfnDatabase) is not in the dump")
    return place


def page_frame(target: Target, number: int) -> PageFrame:
    """The database's entry of a physical page. Raises DumpkitError where it cannot be read."""
    if not 0 <= number < _MOST_PAGES:
        raise DumpkitError(f"{number:x} is no page frame number")
    type = target.type("_MMPFN")
    record = type.at(database_address(target) + number * type.size)

    def first(*paths: str) -> Any:
        """The first member of these that this Windows has."""
        for path in paths:
            try:
                return record.member(path)
            except SymbolError:
                continue
        return None

    def flag(*paths: str) -> bool:
        return bool(first(*paths))

    cache = first("u3.e1.CacheAttribute")
    location = first("u3.e1.PageLocation")
    # Older databases keep links of a whole word, newer ones pack them with flags.
    flink = first("u1.Flink", "u1.Active.EntireField", "u1.WsIndex")
    priority = first("u3.e3.Priority", "u3.e1.Priority")
    return PageFrame(
        number,
        record.address,
        int(flink or 0),
        int(first("u2.ShareCount", "u2.Blink") or 0),
        int(first("PteAddress") or 0) & ~1,
        int(first("OriginalPte.u.Long") or 0),
        int(first("u3.e2.ReferenceCount", "u3.ReferenceCount") or 0),
        int(first("u4.PteFrame") or 0),
        None if location is None else int(location),
        None if cache is None else _CACHE[int(cache) & 3],
        None if priority is None else int(priority),
        flag("u3.e1.Modified"),
        flag("u4.PrototypePte", "u3.e1.PrototypePte"),
        flag("u3.e1.ReadInProgress"),
        flag("u3.e1.WriteInProgress"),
        flag("u3.e3.InPageError", "u4.InPageError", "u3.e1.InPageError"),
    )
