"""Virtual address descriptors (VADs): the regions of a process's user mode, by the tree that the process keeps.

_MMVAD_SHORT and _MMVAD of the kernel's symbols; how they are linked: Windows Internals, part 1, chapter 5. Windows 8.1
and later embed an _RTL_BALANCED_NODE, Windows 7 has LeftChild and RightChild in the descriptor, below BalancedRoot.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.kernel.process import Process
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Set, Tuple

#: No process has more of them.
MOST_DESCRIPTORS = 200_000
#: A balanced tree of that many nodes is no deeper.
_DEEPEST = 64

#: VadType (MI_VAD_TYPE) as the debugger shows it.
_TYPES = ("", "Phys", "Exe", "Awe", "WrtWatch", "LargePag", "Rotate", "LargePagSec")
#: Protection's low three bits (MM_READONLY …), and what the two above add.
_PROTECTIONS = (
    "",
    "READONLY",
    "EXECUTE",
    "EXECUTE_READ",
    "READWRITE",
    "WRITECOPY",
    "EXECUTE_READWRITE",
    "EXECUTE_WRITECOPY",
)
_MODIFIERS = ("", "NOCACHE", "GUARD", "WRITECOMBINE")
_NO_ACCESS = 0x18


class Place(NamedTuple):
    """A node of the tree: its virtual address and its depth, 0 for the root."""

    address: int
    level: int


class AddressDescriptor:
    """A VAD at a virtual address. Properties raise MemoryReadError and SymbolError."""

    def __init__(self, target: Target, address: int, level: int = 0) -> None:
        self.target = target
        self.address = address
        self.level = level
        self.record: Any = target.type("_MMVAD_SHORT").at(address)

    @property
    def start(self) -> int:
        """The number of its first virtual page."""
        return int(self.record.StartingVpn) | int(self.record.get("StartingVpnHigh", 0)) << 32

    @property
    def end(self) -> int:
        """The number of its last virtual page."""
        return int(self.record.EndingVpn) | int(self.record.get("EndingVpnHigh", 0)) << 32

    def _flag(self, name: str) -> int:
        return int(self.record.member(f"u.VadFlags.{name}"))

    @property
    def commit(self) -> int:
        """Pages that are committed for it."""
        value = self.record.get("u1.VadFlags1.CommitCharge")
        if value is None:
            return self._flag("CommitCharge")
        return int(value) | int(self.record.get("CommitChargeHigh", 0)) << 31

    @property
    def is_private(self) -> bool:
        """Whether the process has its pages alone; else they are those of a section."""
        return bool(self._flag("PrivateMemory"))

    @property
    def kind(self) -> str:
        """What is special about it, as the debugger shows it: "Exe" for an image; "" for nothing."""
        number = self._flag("VadType")
        return _TYPES[number] if number < len(_TYPES) else f"?{number}"

    @property
    def protection(self) -> str:
        """What it was made with: EXECUTE_WRITECOPY."""
        number = self._flag("Protection")
        if number in (0, _NO_ACCESS):
            return "NO_ACCESS"
        words = (_PROTECTIONS[number & 7], _MODIFIERS[number >> 3 & 3])
        return " ".join(word for word in words if word)

    @property
    def control_area(self) -> Optional[Any]:
        """The _CONTROL_AREA of its section; None where it has none."""
        if self.is_private:
            return None
        record = self.target.type("_MMVAD").at(self.address)
        area = record.get("Subsection.ControlArea")
        if area is None:
            area = record.get("ControlArea")
        return area or None

    @property
    def file(self) -> Optional[int]:
        """The virtual address of the mapped FILE_OBJECT; None for a section of the paging file's."""
        area = self.control_area
        if area is None:
            return None
        value = area.get("FilePointer.Object")
        place = int(area.FilePointer if value is None else value) & ~0xF
        return place or None

    @property
    def shared_commit(self) -> Optional[int]:
        """Pages that are committed for a section of the paging file's; None of another."""
        area = self.control_area
        if area is None or self.file is not None:
            return None
        value = area.get("Segment.NumberOfCommittedPages")
        return None if value is None else int(value)


class DescriptorTree:
    """The VADs of a process, ascending; `problems` grows while they are walked."""

    def __init__(self, target: Target, root: int) -> None:
        self.target = target
        self.root = root
        self.problems: List[str] = []
        type = target.type("_MMVAD_SHORT")
        self._type = type
        self._left, self._right = (
            ("VadNode.Left", "VadNode.Right") if "VadNode" in type else ("LeftChild", "RightChild")
        )

    def _child(self, place: int, path: str) -> int:
        return int(self._type.at(place).member(path))

    def __iter__(self) -> Iterator[AddressDescriptor]:
        for place in self._places():
            yield AddressDescriptor(self.target, place.address, place.level)

    def _places(self) -> Iterator[Place]:
        """The nodes in order, without recursion: damage may have made the tree a list, or a ring."""
        seen: Set[int] = set()
        waiting: List[Tuple[int, int]] = []
        place, level = self.root, 0
        while waiting or place:
            while place:
                if place in seen:
                    self.problems.append(f"the tree loops at {place:016x}")
                    break
                if level > _DEEPEST or len(seen) >= MOST_DESCRIPTORS:
                    self.problems.append(f"the tree is not followed below {place:016x}: it is deeper than any can be")
                    break
                seen.add(place)
                waiting.append((place, level))
                place, level = self._next(place, self._left), level + 1
            if not waiting:
                return
            place, level = waiting.pop()
            yield Place(place, level)
            place, level = self._next(place, self._right), level + 1

    def _next(self, place: int, path: str) -> int:
        try:
            return self._child(place, path)
        except MemoryReadError as error:
            problem = f"what is below {place:016x} is not in the dump: {error.reason}"
            if problem not in self.problems:
                self.problems.append(problem)
            return 0

    def containing(self, page: int) -> Optional[AddressDescriptor]:
        """The VAD of a virtual page, by the way down the tree; None where there is none. Raises MemoryReadError."""
        place = self.root
        for level in range(_DEEPEST + 1):
            if not place:
                break
            found = AddressDescriptor(self.target, place, level)
            if found.start <= page <= found.end:
                return found
            place = self._child(place, self._left if page < found.start else self._right)
        return None


def descriptor_root(process: Process) -> int:
    """The root of a process's tree; 0 where it has no VADs. Raises MemoryReadError, SymbolError."""
    record = process.record
    for path in ("VadRoot.Root", "VadRoot.BalancedRoot.RightChild"):
        try:
            return int(record.member(path))
        except SymbolError:
            continue
    return int(record.VadRoot)


def descriptors(process: Process) -> DescriptorTree:
    """The VADs of a process. Raises DumpkitError where it has none, or they cannot be found."""
    root = descriptor_root(process)
    if not root:
        raise DumpkitError("the process has no VADs: it has no user mode, or has ended")
    return DescriptorTree(process.target, root)
