"""File objects: names, the device they are on, how they were opened.

Layout: _FILE_OBJECT in the kernel's symbols; flags from wdm.h (FO_*).
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError
from dumpkit.kernel.io.device import Device
from dumpkit.kernel.io.public_types import io_type
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional

#: IO_TYPE_FILE (wdm.h): what _FILE_OBJECT.Type holds.
IO_TYPE_FILE = 5
#: Related files of related files: more is damage.
_DEEPEST = 32

#: FO_* (wdm.h), without the prefix.
FILE_FLAGS: Dict[int, str] = {
    0x1: "Opened",
    0x2: "Synchronous IO",
    0x4: "Alertable IO",
    0x8: "No Intermediate Buffering",
    0x10: "Write Through",
    0x20: "Sequential Only",
    0x40: "Cache Supported",
    0x80: "Named Pipe",
    0x100: "Stream File",
    0x200: "Mailslot",
    0x400: "Generate Audit On Close",
    0x800: "Direct Device Open",
    0x1000: "File Modified",
    0x2000: "File Size Changed",
    0x4000: "Cleanup Complete",
    0x8000: "Temporary File",
    0x10000: "Delete On Close",
    0x20000: "Opened Case Sensitive",
    0x40000: "Handle Created",
    0x80000: "File Fast Io Read",
    0x100000: "Random Access",
    0x200000: "Open Cancelled",
    0x400000: "Volume Open",
    0x1000000: "Remote Origin",
    0x2000000: "Disallow Exclusive",
    0x4000000: "Skip Set Event",
    0x8000000: "Skip Set Fast Io",
    0x10000000: "Indirect Wait Object",
    0x20000000: "Section Min Store Treatment",
}


class FileObject:
    """A file object by its virtual address. Properties raise MemoryReadError where the memory is not there."""

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = int(address)
        self.record: Any = io_type(target, "_FILE_OBJECT").at(self.address)

    @property
    def is_file(self) -> bool:
        """Whether it says of itself that it is a file object."""
        return bool(self.record.Type == IO_TYPE_FILE)

    @property
    def name(self) -> str:
        """The name on its device, as it was opened: `\\Temp\\x.txt`; empty where it has none."""
        return str(self.record.FileName.text())

    @property
    def device(self) -> Optional[Device]:
        """The device that it was opened on, or None."""
        device = int(self.record.DeviceObject)
        return Device(self.target, device) if device else None

    @property
    def device_name(self) -> Optional[str]:
        """The full name of its device (`\\Device\\HarddiskVolume3`), or None where that has none or is not there."""
        from dumpkit.kernel.object_header import KernelObject

        device = self.device
        if device is None:
            return None
        try:
            return KernelObject(self.target, device.address).path
        except MemoryReadError:
            return None

    @property
    def related(self) -> Optional[FileObject]:
        """The file object that its name is relative to, or None."""
        related = int(self.record.RelatedFileObject)
        return FileObject(self.target, related) if related else None

    @property
    def full_name(self) -> str:
        """The name with those of the files that it is relative to, without the device's."""
        name = self.name
        file: FileObject = self
        seen = {self.address}
        while not name.startswith("\\") and len(seen) < _DEEPEST:
            try:
                above = file.related
                if above is None or above.address in seen:
                    break
                name = f"{above.name}\\{name}" if name else above.name
            except MemoryReadError:
                break
            seen.add(above.address)
            file = above
        return name

    @property
    def flags(self) -> List[str]:
        """The flags that are set, in words; bits without a documented meaning as numbers."""
        value = int(self.record.Flags)
        return [FILE_FLAGS.get(1 << bit, hex(1 << bit)) for bit in range(32) if value >> bit & 1]

    @property
    def access(self) -> str:
        """What it was opened for and what it lets others do: `Read Write SharedRead`."""
        names = ("Read", "Write", "Delete", "SharedRead", "SharedWrite", "SharedDelete")
        members = ("ReadAccess", "WriteAccess", "DeleteAccess", "SharedRead", "SharedWrite", "SharedDelete")
        return " ".join(name for name, member in zip(names, members) if getattr(self.record, member))
