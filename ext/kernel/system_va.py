"""What a kernel virtual address is used for: the memory manager's table of system address space.

The upper half of a 48-bit address space has 256 slots of 512 GB; the kernel keeps a byte for each, an
_MI_SYSTEM_VA_TYPE, in _MI_VISIBLE_STATE.SystemVaType (the enumeration and the member are in the public
symbols since Windows 10). Kernels before that had fixed ranges between variables such as MmPagedPoolStart.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, List, Optional, Tuple

_SLOT_SHIFT = 39
_SLOTS = 256
_UPPER_HALF = 0xFFFF_8000_0000_0000

UNKNOWN = "Unknown"
PAGED_POOL = "Paged pool"
NONPAGED_POOL = "Nonpaged pool"
SPECIAL_POOL = "Special pool"

#: Enumerator without its MiVa -> what the debugger calls the region; every other is Unknown to it.
_NAMES = {
    "PagedPool": PAGED_POOL,
    "NonPagedPool": NONPAGED_POOL,
    "SpecialPoolPaged": SPECIAL_POOL,
    "SpecialPoolNonPaged": SPECIAL_POOL,
    "SessionSpace": "Paged session pool",
}

#: (first variable, last variable, type): the ranges of kernels without a table of types.
_RANGES = (
    ("MmSpecialPoolStart", "MmSpecialPoolEnd", "SpecialPoolPaged"),
    ("MmNonPagedPoolStart", "MmNonPagedPoolEnd", "NonPagedPool"),
    ("MmPagedPoolStart", "MmPagedPoolEnd", "PagedPool"),
)

#: Where the table may be: (variable, its type or "" for the bytes themselves, whether it points, member).
_TABLES = (
    ("nt!MiVisibleState", "_MI_VISIBLE_STATE", True, "SystemVaType"),
    ("nt!MiState", "_MI_SYSTEM_INFORMATION", False, "Vs.SystemVaType"),
    ("nt!MiState", "_MI_SYSTEM_INFORMATION", False, "SystemVa.SystemVaType"),
    ("nt!MiSystemVaType", "", False, ""),
)


class SystemVaRegion(NamedTuple):
    """The part of the system's address space that holds a virtual address."""

    #: Enumerator of _MI_SYSTEM_VA_TYPE without its MiVa ("PagedPool"), or None where it is not known.
    type: Optional[str]
    #: As `pool` says it: "Paged pool", "Nonpaged pool", "Special pool", "Paged session pool", "Unknown".
    name: str
    #: First address of the region and of what follows it; both 0 where the type is not known.
    base: int
    end: int
    #: Where the answer is from, or why there is none.
    evidence: str

    @property
    def is_pool(self) -> bool:
        """Whether memory of some pool lies there."""
        return self.name != UNKNOWN


class SystemVaTypes:
    """The table of types of a target, read once. `problem` says why there is none."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.source = ""
        self.problem: Optional[str] = None
        self._ranges: Optional[List[Tuple[int, int, str]]] = None
        self._bytes = self._read()

    def _read(self) -> Optional[bytes]:
        unknown: List[str] = []
        missing: List[str] = []
        for symbol, type, points, member in _TABLES:
            if missing and not type:
                # Of a kernel that has the structure, the variable of older ones need not be looked for.
                break
            try:
                place = self._place(symbol, type, points, member)
                found = self._target.memory.read(place, _SLOTS)
            except SymbolError as error:
                unknown.append(str(error))
                continue
            except MemoryReadError as error:
                missing.append(f"{symbol} cannot be read: {error.reason}")
                continue
            if not any(found):
                missing.append(f"{symbol} has no table: all its entries are zero")
                continue
            self.source = f"{type}.{member}" if member else symbol
            return found
        # A kernel with a table has no fixed ranges, whether its page is there or not.
        if missing:
            self._ranges = []
        # A missing page says more than a name that this kernel does not have.
        self.problem = (missing or unknown)[0]
        return None

    def _place(self, symbol: str, type: str, points: bool, member: str) -> int:
        place = self._target.symbols.address_of(symbol)
        if not type:
            return place
        offset = self._target.type(type).offset(member)
        if points:
            place = self._target.memory.u64(place)
            if not place:
                raise MemoryReadError(place, "a null pointer")
        return place + offset

    def region(self, address: int) -> SystemVaRegion:
        """The region of a virtual address."""
        address &= U64_MASK
        if address < _UPPER_HALF:
            kind = "user space" if address < 1 << 47 else "not canonical"
            return SystemVaRegion(None, UNKNOWN, 0, 0, f"the address is {kind}")
        if self._bytes is None:
            return self._by_range(address)
        slot = address >> _SLOT_SHIFT & _SLOTS - 1
        number = self._bytes[slot]
        first, last = slot, slot
        while first and self._bytes[first - 1] == number:
            first -= 1
        while last + 1 < _SLOTS and self._bytes[last + 1] == number:
            last += 1
        name = self._type_name(number)
        return SystemVaRegion(
            name,
            _NAMES.get(name or "", UNKNOWN),
            _UPPER_HALF + (first << _SLOT_SHIFT),
            _UPPER_HALF + (last + 1 << _SLOT_SHIFT) & U64_MASK,
            f"{self.source}[{slot:#x}] is {number:#x}",
        )

    def _type_name(self, number: int) -> Optional[str]:
        try:
            values = self._target.type("_MI_SYSTEM_VA_TYPE").values
        except SymbolError:
            return None
        name = next((name for name, value in values.items() if value == number), None)
        return name[4:] if name is not None and name.startswith("MiVa") else name

    def _by_range(self, address: int) -> SystemVaRegion:
        for start, end, type in self._known_ranges():
            if start <= address < end:
                return SystemVaRegion(type, _NAMES[type], start, end, "the kernel's variables for this pool")
        return SystemVaRegion(None, UNKNOWN, 0, 0, f"no table of system address types: {self.problem}")

    def _known_ranges(self) -> List[Tuple[int, int, str]]:
        if self._ranges is None:
            self._ranges = []
            for first, last, type in _RANGES:
                start, end = self._variable(first), self._variable(last)
                if _UPPER_HALF <= start < end:
                    self._ranges.append((start, end, type))
        return self._ranges

    def _variable(self, name: str) -> int:
        try:
            return self._target.memory.u64(self._target.symbols.address_of(f"nt!{name}"))
        except (SymbolError, MemoryReadError):
            return 0

    def of_type(self, wanted: Callable[[str], bool]) -> Iterator[SystemVaRegion]:
        """The regions whose names `wanted` accepts, ascending."""
        if self._bytes is None:
            for start, _, _ in sorted(self._known_ranges()):
                region = self._by_range(start)
                if wanted(region.name):
                    yield region
            return
        address = _UPPER_HALF
        while address:
            region = self.region(address)
            if wanted(region.name):
                yield region
            address = region.end


def system_va_types(target: Target) -> SystemVaTypes:
    """The table of a target, kept until its symbols change; that of a live kernel, which goes on, is not."""
    if "live" in target.kind:
        return SystemVaTypes(target)
    symbols: object = target.__dict__.get("_object_space")
    kept: Optional[Tuple[object, SystemVaTypes]] = target.__dict__.get("_system_va_types")
    if kept is None or kept[0] is not symbols:
        table = SystemVaTypes(target)
        kept = target.__dict__["_system_va_types"] = (target.__dict__.get("_object_space"), table)
    return kept[1]


def region_of(target: Target, address: int) -> SystemVaRegion:
    """The region of a virtual address; where the kernel's table is missing, Unknown and why."""
    try:
        return system_va_types(target).region(address)
    except DumpkitError as error:
        return SystemVaRegion(None, UNKNOWN, 0, 0, str(error))
