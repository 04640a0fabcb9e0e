"""What a bugcheck's arguments point to: the thread, the request and the process that it is about."""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.kernel.analysis.evidence import Evidence
from dumpkit.kernel.bugchecks import Bugcheck
from dumpkit.record import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence


#: Bytes of a text that says more.
_LONGEST_MESSAGE = 0x200


class ThreadSubject(Record):
    """A thread that a bugcheck names; what cannot be read is None."""

    address: int
    process: Optional[str]
    state: Optional[str]
    wait_reason: Optional[str]
    #: Virtual address that it began at, and the symbol there: whose thread it is.
    start: Optional[int]
    start_symbol: Optional[str]


class RequestSubject(Record):
    """An IRP that a bugcheck names."""

    address: int
    #: "IRP_MJ_POWER" and "IRP_MN_SET_POWER" of the location that it is at; N/A where it is at none.
    major: str
    minor: str
    #: The driver that has it; None where none has, or its name cannot be read.
    driver: Optional[str]
    #: The virtual addresses of the devices of its locations, the lowest driver's first, as far as they are filled in.
    devices: List[int]


class ProcessSubject(Record):
    """A process that a bugcheck names."""

    address: int
    name: str
    #: The NTSTATUS that it ended with; STATUS_PENDING (103) where it has not, None where that cannot be read.
    exit_status: Optional[int]
    #: The process that ended it, where the bugcheck names one.
    ended_by: Optional[str]


class Subjects:
    """Reads what the arguments of one bugcheck point to."""

    def __init__(self, target: Target, bugcheck: Bugcheck, parameters: Sequence[int], evidence: Evidence) -> None:
        self._target = target
        self._bugcheck = bugcheck
        self._parameters = parameters
        self._evidence = evidence

    def argument(self, kind: str) -> Optional[int]:
        """The argument that a rule of this kind names: "irp", "device", "thread" or "process"."""
        for rule in (kind, "context", "blame"):
            for words in self._bugcheck.rule(rule):
                number = words[0] if rule == kind else words[1] if words[0] == kind and len(words) > 1 else "0"
                if number != "0":
                    return self._parameters[int(number) - 1]
        return None

    def thread(self) -> Optional[ThreadSubject]:
        """The thread; None where the bugcheck names none, or nothing can be read of it."""
        address = self.argument("thread")
        if not address:
            return None
        from dumpkit.kernel.thread import Thread

        thread = Thread(self._target, address)
        try:
            if not thread.is_valid:
                raise DumpkitError(f"{address:016x} is no thread")
            state = thread.state
        except DumpkitError as error:
            self._evidence.lack("thread", error)
            return None
        self._evidence.note("thread", f"ETHREAD {address:016x}, the bugcheck's argument")
        start = process = None
        try:
            start = thread.start_address or None
            process = thread.process.name
        except DumpkitError as error:
            self._evidence.lack("thread_process", error)
        place = self._target.symbols.nearest(start) if start is not None else None
        reason = thread.wait_reason if state == "Waiting" else None
        return ThreadSubject(address, process, state, reason, start, str(place) if place is not None else None)

    def request(self) -> Optional[RequestSubject]:
        """The request; None where the bugcheck names none, or it cannot be read."""
        address = self.argument("irp")
        if not address:
            return None
        from dumpkit.kernel.io.irp import Irp

        irp = Irp(self._target, address)
        try:
            if not irp.is_irp:
                raise DumpkitError(f"{address:016x} is no IRP")
            location = irp.current_location
            names = (location.major_name, location.minor_name) if location is not None else ("N/A", "N/A")
            devices = [each.device.address for each in irp.stack_locations if each.device is not None]
        except DumpkitError as error:
            self._evidence.lack("request", error)
            return None
        self._evidence.note("request", f"IRP {address:016x}, the bugcheck's argument")
        return RequestSubject(address, *names, irp.driver_name or None, devices)

    def process(self) -> Optional[ProcessSubject]:
        """The process; None where the bugcheck names none, or it cannot be read."""
        address = self.argument("process")
        if not address:
            return None
        from dumpkit.kernel.process import Process

        process = Process(self._target, address)
        try:
            if not process.is_valid:
                raise DumpkitError(f"{address:016x} is no process")
            name = process.name
        except DumpkitError as error:
            self._evidence.lack("subject", error)
            return None
        self._evidence.note("subject", f"EPROCESS {address:016x}, the bugcheck's argument")
        status: Optional[int] = None
        try:
            status = process.exit_status
            self._evidence.note("exit_status", f"_EPROCESS.ExitStatus of {address:016x}")
        except DumpkitError as error:
            self._evidence.lack("exit_status", error)
        return ProcessSubject(address, name, status, self._initiator())

    def _initiator(self) -> Optional[str]:
        """The name of the process that ended another one."""
        from dumpkit.kernel.process import Process

        for (number,) in self._bugcheck.rule("initiator"):
            address = self._parameters[int(number) - 1]
            process = Process(self._target, address)
            try:
                if address and process.is_valid:
                    self._evidence.note("ended_by", f"EPROCESS {address:016x}, argument {number}")
                    return process.name
            except DumpkitError as error:
                self._evidence.lack("ended_by", error)
        return None

    def message(self) -> Optional[str]:
        """The text that an argument points to; None where the bugcheck has none, or it cannot be read."""
        for (number,) in self._bugcheck.rule("message"):
            address = self._parameters[int(number) - 1]
            text = self._target.memory.read_prefix(address, _LONGEST_MESSAGE).partition(b"\0")[0].strip()
            if text and text.isascii() and text.decode("ascii").isprintable():
                self._evidence.note("message", f"the text at {address:016x}, argument {number}")
                return text.decode("ascii")
            self._evidence.lack("message", f"no text is at {address:016x}, argument {number}")
        return None

    def driver_of_device(self) -> Optional[int]:
        """The virtual address of the driver object of the device that the bugcheck names, or None."""
        address = self.argument("device")
        if not address:
            return None
        from dumpkit.kernel.io.device import Device

        device = Device(self._target, address)
        try:
            return device.driver.address if device.is_device else None
        except DumpkitError as error:
            self._evidence.lack("device", error)
            return None
