"""A process's environment block: what its loader and its creator keep of it in user mode.

_PEB, _PEB_LDR_DATA and _RTL_USER_PROCESS_PARAMETERS are types of the kernel's symbols; a 32-bit program has a second
block, a _PEB32. All of it lies in the process's own memory, which kernel dumps do not hold.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.kernel.process import Process
from dumpkit.memory import AddressSpace
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Tuple

#: RTL_USER_PROC_PARAMS_NORMALIZED (public headers of the loader): strings' pointers are addresses, no offsets.
_NORMALIZED = 1
#: An environment has at most 32767 characters a variable; no process has a larger one in all.
_LARGEST_ENVIRONMENT = 1 << 20
_PAGE = 0x1000


class LoaderList(NamedTuple):
    """The first and the last entry of one of the loader's lists, virtual addresses of their links."""

    name: str
    first: int
    last: int


class ProcessParameters:
    """_RTL_USER_PROCESS_PARAMETERS. Everything raises MemoryReadError, SymbolError."""

    def __init__(self, record: Any, memory: AddressSpace) -> None:
        self.record = record
        self.memory = memory
        self.address = int(record)

    def text(self, member: str) -> str:
        """One of its strings: "CommandLine", "CurrentDirectory.DosPath"."""
        value = self.record.member(member)
        if not int(value.Length):
            return ""
        buffer = int(value.Buffer)
        if not int(self.record.Flags) & _NORMALIZED and buffer < self.address:
            buffer += self.address
        return self.memory.read(buffer, int(value.Length) & ~1).decode("utf-16-le", "replace")

    @property
    def environment(self) -> int:
        """The virtual address of its environment; 0 where it has none."""
        return int(self.record.Environment)

    def variables(self) -> Tuple[List[str], Optional[str]]:
        """Its environment's NAME=VALUE, and why they are not whole, as a clause."""
        place, memory = self.environment, self.memory
        if not place:
            return [], None
        size = int(self.record.get("EnvironmentSize", 0))
        end = place + min(size or _LARGEST_ENVIRONMENT, _LARGEST_ENVIRONMENT)
        raw, problem = b"", None
        # Page by page: older kernels do not tell its size, two NULs end it.
        while place < end and _end(raw) < 0:
            piece = memory.read_prefix(place, min(_PAGE - place % _PAGE, end - place))
            raw += piece
            if not piece:
                problem = f"{place:016x}: {memory.explain(place)}"
                break
            place += len(piece)
        whole = raw.decode("utf-16-le", "replace")
        return [text for text in whole.partition("\0\0")[0].split("\0") if text], problem


def _end(raw: bytes) -> int:
    """Where two NUL characters stand, from the last page or so of the text on; -1 where there are none."""
    at = raw.find(b"\0\0\0\0", max(0, (len(raw) & ~1) - _PAGE - 4))
    while at >= 0 and at & 1:
        at = raw.find(b"\0\0\0\0", at + 1)
    return at


class ProcessEnvironment:
    """The PEB of a process. Raises DumpkitError where it has none."""

    def __init__(self, process: Process, address: Optional[int] = None) -> None:
        self.process = process
        self.memory = process.memory
        self.address = process.peb if address is None else address
        if not self.address:
            raise DumpkitError("the process has no PEB")
        self.record: Any = process.target.type("_PEB").over(self.memory).at(self.address)

    @property
    def parameters(self) -> ProcessParameters:
        """What it was started with. Raises MemoryReadError; DumpkitError where its creator has not written them yet."""
        place = self.record.ProcessParameters
        if not place:
            raise DumpkitError("the process has no parameters yet")
        return ProcessParameters(place, self.memory)

    def loader_lists(self) -> List[LoaderList]:
        """The loader's three lists. Raises MemoryReadError."""
        data = self.record.Ldr
        found = []
        if data:
            for name in ("InInitializationOrderModuleList", "InLoadOrderModuleList", "InMemoryOrderModuleList"):
                head = data.member(name)
                found.append(LoaderList(name, int(head.Flink), int(head.Blink)))
        return found

    @property
    def wow64(self) -> Any:
        """The _PEB32 of a 32-bit program, or None. Raises MemoryReadError, SymbolError."""
        record = self.process.record
        place = record.get("WoW64Process") or record.get("Wow64Process")
        if not place:
            return None
        # Windows 8.1 and before point to the block itself, later ones to an _EWOW64PROCESS.
        try:
            block = place.Peb
        except (SymbolError, AttributeError):
            block = place
        return self.process.target.type("_PEB32").over(self.memory).at(int(block)) if block else None
