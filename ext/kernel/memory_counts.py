"""What the memory manager counts: physical memory, paging files, commitment, the pools.

Members are asked by name of the structures that the public symbols have (_MI_PARTITION behind nt!MiSystemPartition,
_MI_VISIBLE_STATE, _MI_SYSTEM_INFORMATION); older kernels keep the same numbers in variables of their own. All are
numbers of pages.
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError, SymbolError
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects import MemberError
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

_MOST_FILES = 16
#: Pages of 4 KB.
KILOBYTES_A_PAGE = 4

#: label -> where it may be: "partition.PATH", "visible.PATH", "system.PATH", or a variable of the kernel.
_COUNTS: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("Physical Memory", ("partition.Vp.NumberOfPhysicalPages", "MmNumberOfPhysicalPages")),
    ("Available Pages", ("partition.Vp.AvailablePages", "MmAvailablePages")),
    ("ResAvail Pages", ("partition.Vp.ResidentAvailablePages", "MmResidentAvailablePages")),
    ("Free System PTEs", ("visible.SystemPteInfo.TotalFreeSystemPtes",)),
    ("Modified Pages", ("partition.Vp.ModifiedPageListHead.Total",)),
    ("Modified PF Pages", ("partition.Vp.TotalPagesForPagingFile", "MmTotalPagesForPagingFile")),
    ("Modified No Write Pages", ("partition.Vp.ModifiedNoWritePageListHead.Total",)),
    ("NonPagedPool Usage", ("system.Pools.AllocatedNonPagedPool", "MmAllocatedNonPagedPool")),
    ("NonPagedPool Max", ("visible.MaximumNonPagedPoolInPages",)),
    ("PagedPool Usage", ("visible.PagedPoolInfo.AllocatedPagedPool",)),
    ("PagedPool Maximum", ("visible.SizeOfPagedPoolInPages",)),
    ("Shared Commit", ("partition.Vp.SharedCommit", "MmSharedCommit")),
    ("Pages For MDLs", ("visible.MdlPagesAllocated",)),
    ("ContigMem Pages", ("visible.ContiguousPagesAllocated",)),
    ("NonPagedPool Commit", ("visible.NonPagedPoolCommit",)),
    ("PagedPool Commit", ("MmPagedPoolCommit",)),
    ("Process Commit", ("visible.ProcessCommit", "MmProcessCommit")),
    ("Driver Commit", ("visible.DriverCommit", "MmDriverCommit")),
    ("Boot Commit", ("visible.BootCommit",)),
    ("PFN Array Commit", ("visible.PfnDatabaseCommit",)),
    ("SmallNonPagedPtesCommit", ("visible.SmallNonPagedPtesCommit",)),
    ("System PageTables", ("visible.SystemPageTableCommit",)),
    ("ProcessLockedFilePages", ("partition.Vp.ProcessLockedFilePages",)),
    ("Committed pages", ("partition.Vp.TotalCommittedPages", "MmTotalCommittedPages")),
    ("Commit limit", ("partition.Vp.TotalCommitLimit", "MmTotalCommitLimit")),
)


class PagingFile(NamedTuple):
    """A paging file; `name` is None where it has none (a file for the memory compression store). Sizes in pages."""

    name: Optional[str]
    size: int
    free: int
    minimum: int
    maximum: int


class MemoryCounts(NamedTuple):
    """The counts that could be read, in the order in which the debugger shows them, and what could not be."""

    files: Tuple[PagingFile, ...]
    #: (label, pages)
    counts: Tuple[Tuple[str, int], ...]
    problems: Tuple[str, ...]


class _Roots:
    """The structures that the counts are in, looked for once each."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.problems: List[str] = []
        #: Those of the problems that are structures which this kernel's symbols do not have.
        self.absent: List[str] = []
        self._known: Dict[str, Any] = {}

    @property
    def is_structured(self) -> bool:
        """Whether any of the structures was found."""
        return any(record is not None for record in self._known.values())

    def find(self, name: str) -> Any:
        if name not in self._known:
            try:
                self._known[name] = getattr(self, f"_{name}")()
            except (SymbolError, MemoryReadError) as error:
                self._known[name] = None
                reason = error.reason if isinstance(error, MemoryReadError) else str(error)
                self.problems.append(f"the memory manager's {name} cannot be read: {reason}")
                if isinstance(error, SymbolError):
                    self.absent.append(self.problems[-1])
        return self._known[name]

    def _partition(self) -> Any:
        return self.target.type("_MI_PARTITION").at(self.target.symbols.address_of("nt!MiSystemPartition"))

    def _system(self) -> Any:
        return self.target.type("_MI_SYSTEM_INFORMATION").at(self.target.symbols.address_of("nt!MiState"))

    def _visible(self) -> Any:
        place = self.target.memory.u64_optional(self.target.symbols.address_of("nt!MiVisibleState"))
        if place:
            return self.target.type("_MI_VISIBLE_STATE").at(place)
        return self._system().member("Vs")


def memory_counts(target: Target) -> MemoryCounts:
    """What the memory manager counted. Nothing is raised: what is missing is in `problems`."""
    roots = _Roots(target)
    found = []
    missing = []
    for label, places in _COUNTS:
        pages = _count(roots, places)
        if pages is not None:
            found.append((label, pages))
        else:
            missing.append(label)
    files = tuple(_files(roots))
    problems = list(roots.problems)
    if found and not roots.is_structured:
        # A kernel that keeps its counts in variables lacks no structure.
        problems = [problem for problem in problems if problem not in roots.absent]
    if missing and len(missing) < len(_COUNTS):
        problems.append(f"not in the dump, or not in this kernel: {', '.join(missing)}")
    return MemoryCounts(files, tuple(found), tuple(dict.fromkeys(problems)))


def _count(roots: _Roots, places: Sequence[str]) -> Optional[int]:
    for place in places:
        root, dot, path = place.partition(".")
        if not dot:
            try:
                value = roots.target.memory.u64_optional(roots.target.symbols.address_of(f"nt!{place}"))
            except SymbolError:
                continue
            # A variable that newer kernels keep but do not use any more.
            value = value or None
        else:
            record = roots.find(root)
            value = record.get(path) if record is not None else None
        if value is not None:
            return int(value)
    return None


def _files(roots: _Roots) -> Iterator[PagingFile]:
    partition = roots.find("partition")
    if partition is None:
        places = _old_files(roots)
    else:
        count = min(partition.get("Vp.NumberOfPagingFiles") or 0, _MOST_FILES)
        places = [partition.get(f"Vp.PagingFile[{number}]") for number in range(count)]
    for number, file in enumerate(places):
        try:
            if file is None:
                raise MemberError("its address is missing")
            name = file.PageFileName.text() if file.PageFileName.Length else None
            yield PagingFile(name, file.Size, file.FreeSpace, file.MinimumSize, file.MaximumSize)
        except (MemoryReadError, MemberError) as error:
            roots.problems.append(f"paging file {number} cannot be read: {error}")


def _old_files(roots: _Roots) -> List[Any]:
    """The _MMPAGING_FILEs of a kernel that has them in a variable of its own; None for one that cannot be read."""
    target = roots.target
    try:
        count = target.memory.u32(target.symbols.address_of("nt!MmNumberOfPagingFiles"))
        array = target.symbols.address_of("nt!MmPagingFile")
        type = target.type("_MMPAGING_FILE")
    except (SymbolError, MemoryReadError):
        return []
    pointers = [target.memory.u64_optional(array + 8 * number) for number in range(min(count, _MOST_FILES))]
    return [type.at(pointer) if pointer else None for pointer in pointers]
