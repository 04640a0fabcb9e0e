"""The images that a process has loaded in user mode, as its loader lists them.

PEB.Ldr leads to _PEB_LDR_DATA, whose InLoadOrderModuleList holds an _LDR_DATA_TABLE_ENTRY for each (types of the
kernel's symbols). They lie in the process's own memory, which kernel dumps do not hold.
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError
from dumpkit.kernel.process import Process
from dumpkit.memory import AddressSpace
from dumpkit.module import Module
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects.lists import ListWalk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Tuple

#: No process has more images loaded.
MOST_MODULES = 4096
_LARGEST_IMAGE = 1 << 32
#: User mode ends here in every Windows.
_USER_END = 1 << 47


class UserModules(NamedTuple):
    """The images, ascending by base address; `problem` says why there are none, or not all, as a clause."""

    modules: Tuple[Module, ...]
    problem: Optional[str] = None


def user_modules(process: Process) -> UserModules:
    """The images of a process. Raises SymbolError where the kernel has no symbols, MemoryReadError for its EPROCESS."""
    target, memory = process.target, process.memory
    peb = process.peb
    if not peb:
        return UserModules((), "the process has no PEB")
    try:
        data = target.type("_PEB").over(memory).at(peb).Ldr
        if not data:
            return UserModules((), "its loader has not begun")
        head = data.address_of("InLoadOrderModuleList")
    except MemoryReadError as error:
        return UserModules((), f"its PEB is not in the dump: {error.reason}")
    entries = target.type("_LDR_DATA_TABLE_ENTRY").over(memory)
    walk = ListWalk(entries, head, "InLoadOrderLinks", MOST_MODULES)
    found: List[Module] = []
    problem = None
    for entry in walk:
        try:
            module = _module(entry, memory)
        except MemoryReadError as error:
            problem = f"an entry of its list of modules is not in the dump: {error.reason}"
            continue
        if module is not None:
            found.append(module)
    if not walk.complete:
        problem = f"its list of modules ends early: {walk.ended}"
    return UserModules(tuple(sorted(found, key=lambda module: module.base)), problem)


def _module(entry: Any, memory: AddressSpace) -> Optional[Module]:
    base, size = int(entry.DllBase), int(entry.SizeOfImage)
    if not 0 < base < _USER_END or not 0 < size < _LARGEST_IMAGE:
        return None
    try:
        path = entry.FullDllName.text()
    except MemoryReadError:
        path = ""
    image = entry.BaseDllName.text() or path.rpartition("\\")[2]
    name = image.rpartition(".")[0] or image
    timestamp, checksum = _header(memory, base)
    timestamp = int(entry.get("TimeDateStamp", timestamp))
    return Module(base, size, name.replace(" ", "_"), image, path, timestamp, checksum)


def _header(memory: AddressSpace, base: int) -> Tuple[int, int]:
    """TimeDateStamp and CheckSum of an image's header (IMAGE_NT_HEADERS64 in winnt.h); 0 where it is not there."""
    place = memory.read_optional(base + 0x3C, 4)
    offset = int.from_bytes(place or b"", "little")
    data = memory.read_optional(base + offset, 0x5C) if 0 < offset < 0x1000 else None
    if data is None or data[:4] != b"PE\0\0":
        return 0, 0
    return int.from_bytes(data[8:12], "little"), int.from_bytes(data[0x58:0x5C], "little")
