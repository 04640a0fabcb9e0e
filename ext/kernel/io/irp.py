"""I/O request packets: the drivers they went through and where they are now.

    irp = Irp(target, address)
    irp.current_location.major_name     "IRP_MJ_POWER"
    irp.driver_name                     "slowdisk": whose device it waits in

Layout: _IRP and _IO_STACK_LOCATION in the kernel's symbols. The locations lie behind the packet, the lowest
driver's first; CurrentLocation counts them from 1 and begins at StackCount + 1, where no driver has it yet.
Function codes, SL_* and IRP flags: wdm.h and ntifs.h.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError
from dumpkit.kernel.io.device import Device
from dumpkit.kernel.io.driver import Driver
from dumpkit.kernel.io.file import FileObject
from dumpkit.kernel.io.public_types import io_type
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

#: IO_TYPE_IRP (wdm.h): what _IRP.Type holds.
IO_TYPE_IRP = 6
#: StackCount is a signed byte.
MOST_LOCATIONS = 127

MAJOR_FUNCTIONS = (
    "CREATE CREATE_NAMED_PIPE CLOSE READ WRITE QUERY_INFORMATION SET_INFORMATION QUERY_EA SET_EA FLUSH_BUFFERS"
    " QUERY_VOLUME_INFORMATION SET_VOLUME_INFORMATION DIRECTORY_CONTROL FILE_SYSTEM_CONTROL DEVICE_CONTROL"
    " INTERNAL_DEVICE_CONTROL SHUTDOWN LOCK_CONTROL CLEANUP CREATE_MAILSLOT QUERY_SECURITY SET_SECURITY POWER"
    " SYSTEM_CONTROL DEVICE_CHANGE QUERY_QUOTA SET_QUOTA PNP"
).split()
DEVICE_CONTROL, INTERNAL_DEVICE_CONTROL, FILE_SYSTEM_CONTROL = 0xE, 0xF, 0xD
POWER, SYSTEM_CONTROL, PNP = 0x16, 0x17, 0x1B

#: Major function -> names of its minor functions by code; "-" where a code has none.
_MINOR_FUNCTIONS: Dict[int, str] = {
    0xC: "- QUERY_DIRECTORY NOTIFY_CHANGE_DIRECTORY NOTIFY_CHANGE_DIRECTORY_EX",
    0x11: "- LOCK UNLOCK_SINGLE UNLOCK_ALL UNLOCK_ALL_BY_KEY",
    INTERNAL_DEVICE_CONTROL: "- SCSI_CLASS",
    POWER: "WAIT_WAKE POWER_SEQUENCE SET_POWER QUERY_POWER",
    SYSTEM_CONTROL: "QUERY_ALL_DATA QUERY_SINGLE_INSTANCE CHANGE_SINGLE_INSTANCE CHANGE_SINGLE_ITEM ENABLE_EVENTS"
    " DISABLE_EVENTS ENABLE_COLLECTION DISABLE_COLLECTION REGINFO EXECUTE_METHOD - REGINFO_EX",
    PNP: "START_DEVICE QUERY_REMOVE_DEVICE REMOVE_DEVICE CANCEL_REMOVE_DEVICE STOP_DEVICE QUERY_STOP_DEVICE"
    " CANCEL_STOP_DEVICE QUERY_DEVICE_RELATIONS QUERY_INTERFACE QUERY_CAPABILITIES QUERY_RESOURCES"
    " QUERY_RESOURCE_REQUIREMENTS QUERY_DEVICE_TEXT FILTER_RESOURCE_REQUIREMENTS - READ_CONFIG WRITE_CONFIG EJECT"
    " SET_LOCK QUERY_ID QUERY_PNP_DEVICE_STATE QUERY_BUS_INFORMATION DEVICE_USAGE_NOTIFICATION SURPRISE_REMOVAL"
    " QUERY_LEGACY_BUS_INFORMATION DEVICE_ENUMERATED",
}

#: SL_* in IO_STACK_LOCATION.Control: (bit, what the debugger says).
CONTROL_WORDS = (
    (0x40, "Success"),
    (0x80, "Error"),
    (0x20, "Cancel"),
    (0x01, "pending"),
    (0x02, "errorreturned"),
)


def major_name(code: int) -> str:
    """`IRP_MJ_READ`, or N/A for a code that no request has."""
    return f"IRP_MJ_{MAJOR_FUNCTIONS[code]}" if code < len(MAJOR_FUNCTIONS) else "N/A"


def minor_name(major: int, code: int) -> str:
    """`IRP_MN_SET_POWER`, or N/A where the major function has no minor one of that code."""
    names = _MINOR_FUNCTIONS.get(major, "").split()
    return f"IRP_MN_{names[code]}" if code < len(names) and names[code] != "-" else "N/A"


class StackLocation:
    """A driver's part of a request. `number` counts from 1, the lowest driver's first."""

    def __init__(self, target: Target, address: int, number: int) -> None:
        self.target = target
        self.address = address
        self.number = number
        self.record: Any = io_type(target, "_IO_STACK_LOCATION").at(address)

    @property
    def major(self) -> int:
        """IRP_MJ_*."""
        return int(self.record.MajorFunction)

    @property
    def minor(self) -> int:
        """IRP_MN_*, whose meaning is the major function's."""
        return int(self.record.MinorFunction)

    @property
    def is_used(self) -> bool:
        """Whether anybody has filled it in: a request's unused locations are all zeros."""
        return any(self.record.bytes())

    @property
    def major_name(self) -> str:
        """As `major_name`; N/A for a location that nobody has used."""
        return major_name(self.major) if self.is_used else "N/A"

    @property
    def minor_name(self) -> str:
        """As `minor_name`; N/A for a location that nobody has used."""
        return minor_name(self.major, self.minor) if self.is_used else "N/A"

    @property
    def control_words(self) -> List[str]:
        """When its completion routine is called (Success, Error, Cancel), and whether it is pending."""
        control = int(self.record.Control)
        return [word for bit, word in CONTROL_WORDS if control & bit]

    @property
    def device(self) -> Optional[Device]:
        """The device that it is for, or None."""
        device = int(self.record.DeviceObject)
        return Device(self.target, device) if device else None

    @property
    def driver(self) -> Optional[Driver]:
        """The driver of its device, or None where it has no device. Raises MemoryReadError."""
        device = self.device
        return None if device is None else device.driver

    @property
    def driver_name(self) -> Optional[str]:
        """The full name of that driver (`\\Driver\\disk`), or None without a device. Raises MemoryReadError."""
        driver = self.driver
        return None if driver is None else driver.name

    @property
    def file(self) -> Optional[FileObject]:
        """The file that it is about, or None."""
        file = int(self.record.FileObject)
        return FileObject(self.target, file) if file else None

    @property
    def completion_routine(self) -> int:
        """The virtual address of the routine that the driver above set, or 0."""
        return int(self.record.CompletionRoutine)

    @property
    def context(self) -> int:
        """What the completion routine is given."""
        return int(self.record.Context)

    @property
    def arguments(self) -> Tuple[int, int, int, int]:
        """The four words of Parameters, which each function reads in its own way."""
        place = self.record.address_of("Parameters")
        first, second, third, fourth = (self.target.memory.u64(place + 8 * index) for index in range(4))
        return first, second, third, fourth


class Irp:
    """A request by its virtual address. Properties raise MemoryReadError where the memory is not there."""

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = int(address)
        self.record: Any = io_type(target, "_IRP").at(self.address)

    @property
    def is_irp(self) -> bool:
        """Whether it says of itself that it is a request, with counts that can be."""
        record = self.record
        return bool(record.Type == IO_TYPE_IRP and record.StackCount > 0 and record.CurrentLocation > 0)

    @property
    def least_size(self) -> int:
        """The bytes of the request and its stack locations: IoSizeOfIrp of wdm.h."""
        return io_type(self.target, "_IRP").size + self.stack_count * io_type(self.target, "_IO_STACK_LOCATION").size

    @property
    def stack_count(self) -> int:
        """How many drivers it has room for."""
        return int(self.record.StackCount)

    @property
    def current_number(self) -> int:
        """CurrentLocation: 1 is the lowest driver's, stack_count + 1 none's."""
        return int(self.record.CurrentLocation)

    @property
    def is_complete(self) -> bool:
        """Whether every driver is done with it (or none has had it yet)."""
        return self.current_number > self.stack_count

    @property
    def stack_locations(self) -> List[StackLocation]:
        """Its stack locations, the lowest driver's first. Raises DumpkitError where StackCount cannot be."""
        count = self.stack_count
        if not 0 < count <= MOST_LOCATIONS:
            raise DumpkitError(f"{self.address:016x} is no IRP: it says that it has {count} stack locations")
        return [self._location(number) for number in range(1, count + 1)]

    def _location(self, number: int) -> StackLocation:
        step = io_type(self.target, "_IO_STACK_LOCATION").size
        return StackLocation(self.target, self.address + self.record.type.size + (number - 1) * step, number)

    @property
    def current_location(self) -> Optional[StackLocation]:
        """The location of the driver that has it, or None where none has."""
        number = self.current_number
        return self._location(number) if 0 < number <= self.stack_count else None

    @property
    def current_pointer(self) -> int:
        """Tail.Overlay.CurrentStackLocation: a virtual address, which should be the current location's."""
        return int(self.record.Tail.Overlay.CurrentStackLocation)

    @property
    def thread(self) -> Optional[int]:
        """The virtual address of the thread that it was made for, or None."""
        return int(self.record.Tail.Overlay.Thread) or None

    @property
    def mdl(self) -> int:
        """The virtual address of its memory descriptor list, or 0."""
        return int(self.record.MdlAddress)

    @property
    def system_buffer(self) -> int:
        """AssociatedIrp.SystemBuffer, or what else is in that place: see `associated`."""
        return int(self.record.AssociatedIrp.SystemBuffer)

    @property
    def flags(self) -> int:
        """IRP_* flags."""
        return int(self.record.Flags)

    @property
    def master_irp(self) -> int:
        """The virtual address of the request that it is a part of, or 0 (IRP_ASSOCIATED_IRP, wdm.h)."""
        return self.system_buffer if self.flags & 0x8 else 0

    @property
    def pending_returned(self) -> bool:
        """Whether the driver that completed it last had marked it as pending."""
        return bool(self.record.PendingReturned)

    @property
    def is_cancelled(self) -> bool:
        """Whether its cancellation was asked for."""
        return bool(self.record.Cancel)

    @property
    def status(self) -> int:
        """IoStatus.Status, an NTSTATUS without its sign."""
        return int(self.record.IoStatus.Status) & 0xFFFF_FFFF

    @property
    def file(self) -> Optional[FileObject]:
        """The file that the current location is about, or None."""
        location = self.current_location
        return None if location is None else location.file

    @property
    def file_name(self) -> Optional[str]:
        """The name of that file on its device; "" where there is none, None where the memory is not there."""
        try:
            file = self.file
            return "" if file is None else file.name
        except MemoryReadError:
            return None

    @property
    def driver_name(self) -> Optional[str]:
        """The last part of the name of the driver that has it ("Ntfs"); "" and None as `file_name`."""
        try:
            location = self.current_location
            driver = None if location is None else location.driver
            return "" if driver is None else driver.short_name
        except MemoryReadError:
            return None
