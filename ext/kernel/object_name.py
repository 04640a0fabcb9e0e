"""Names that objects carry themselves: those of files and registry keys, and where symbolic links lead.

Layout: _FILE_OBJECT, _CM_KEY_BODY, _CM_KEY_CONTROL_BLOCK, _CM_NAME_CONTROL_BLOCK and _OBJECT_SYMBOLIC_LINK in the
kernel's symbols. A name block holds a compressed name (one byte a character) or one in UTF-16.
"""

from __future__ import annotations

from dumpkit.kernel.io.file import FileObject
from dumpkit.kernel.object_header import KernelObject
from dumpkit.memory import PAGE_SIZE
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Set

#: The registry is no deeper (winreg.h: 512 levels).
_DEEPEST_KEY = 512


class LinkTarget(NamedTuple):
    """Where a symbolic link leads, and the drive letter that it stands for, or ""."""

    path: str
    drive: str


def object_name(object: KernelObject) -> Optional[str]:
    """The name of an object: in its directory, or its own; None where it has none.

    A file's is followed by its device's in braces, as the debugger prints it. Raises MemoryReadError, SymbolError.
    """
    kind = object.type_name
    if kind == "File":
        file = FileObject(object.target, object.address)
        name = file.name
        device = file.device_name
        return f"{name} {{{device.rpartition(chr(92))[2]}}}" if name and device else name or None
    if kind == "Key":
        body = object.target.type("_CM_KEY_BODY").at(object.address)
        return key_path(object.target, int(body.KeyControlBlock))
    return object.name


def key_path(target: Target, control_block: int) -> str:
    """The full path of a registry key (`\\REGISTRY\\MACHINE\\…`) by the virtual address of its control block."""
    steps: List[str] = []
    seen: Set[int] = set()
    type = target.type("_CM_KEY_CONTROL_BLOCK")
    while control_block and control_block not in seen and len(seen) < _DEEPEST_KEY:
        seen.add(control_block)
        record = type.at(control_block)
        steps.append(_key_name(target, int(record.NameBlock)))
        control_block = int(record.ParentKcb)
    return "\\" + "\\".join(reversed(steps))


def _key_name(target: Target, block: int) -> str:
    record = target.type("_CM_NAME_CONTROL_BLOCK").at(block)
    length = min(int(record.NameLength), PAGE_SIZE)
    raw = target.memory.read(record.address_of("Name"), length)
    return raw.decode("latin-1" if record.Compressed else "utf-16-le", "replace")


def link_target(object: KernelObject) -> LinkTarget:
    """Where a symbolic link leads. Raises MemoryReadError, SymbolError."""
    record = object.target.type("_OBJECT_SYMBOLIC_LINK").at(object.address)
    index = record.get("DosDeviceDriveIndex", 0)
    drive = f"{chr(ord('A') + index - 1)}:" if 0 < index <= 26 else ""
    return LinkTarget(record.LinkTarget.text(), drive)
