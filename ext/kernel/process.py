"""Processes: the EPROCESS, its threads and its address space.

Members are asked of the kernel's own types; PsActiveProcessHead's list and the lists of threads are those that
Windows Internals (part 1, chapter 3) describes.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.functions import partial
from dumpkit.memory import U64_MASK, AddressSpace
from dumpkit.objects import MemberError
from dumpkit.objects.lists import ListOf
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional, Union

    from dumpkit.kernel.thread import Thread
    from dumpkit.objects.lists import ListWalk

#: DISPATCHER_HEADER.Type of a process (_KOBJECTS: ProcessObject).
PROCESS_OBJECT = 3

#: No Windows has more of them.
MOST_PROCESSES = 100_000
MOST_THREADS = 100_000


class Process:
    """An EPROCESS at a virtual address; nothing is read before it is asked for.

    Properties raise MemoryReadError where the process's memory is missing and SymbolError where the kernel's
    symbols lack what they need; those that give None say so.
    """

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = int(address) & U64_MASK
        self._record: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Process) and (self.target, self.address) == (other.target, other.address)

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"Process at {self.address:016x}"

    @property
    def record(self) -> Any:
        """The typed view of the _EPROCESS."""
        if self._record is None:
            self._record = self.target.type("_EPROCESS").at(self.address)
        return self._record

    @property
    def is_valid(self) -> bool:
        """Whether its dispatcher header says that it is a process."""
        return bool(self.record.get("Pcb.Header.Type") == PROCESS_OBJECT)

    @property
    def image_file_name(self) -> str:
        """ImageFileName: the first 14 or 15 characters of the image's name."""
        text: str = self.record.ImageFileName.text()
        return text

    @property
    def image_path(self) -> Optional[str]:
        """The image's path as auditing recorded it ("\\Device\\…"), or None where there is none to be read."""
        # An OBJECT_NAME_INFORMATION: a UNICODE_STRING and nothing else (ntifs.h).
        place = self.record.get("SeAuditProcessCreationInfo.ImageFileName")
        if not place:
            return None
        try:
            return self.target.type("_UNICODE_STRING").at(int(place)).text() or None
        except MemoryReadError:
            return None

    @property
    def name(self) -> str:
        """The image's whole name: the path's last part, or ImageFileName where no path continues that."""
        short = self.image_file_name
        path = self.image_path
        if path is not None:
            whole = path.rpartition("\\")[2]
            if whole.lower().startswith(short.lower()):
                return whole
        return short

    @property
    def pid(self) -> int:
        """UniqueProcessId; 0 of the idle process."""
        return int(self.record.UniqueProcessId)

    @property
    def exit_status(self) -> int:
        """ExitStatus, an NTSTATUS: STATUS_PENDING (103) of a process that has not ended."""
        return int(self.record.ExitStatus) & 0xFFFF_FFFF

    @property
    def parent_pid(self) -> int:
        """InheritedFromUniqueProcessId: the id of the process that made it, which may be gone."""
        return int(self.record.InheritedFromUniqueProcessId)

    @property
    def session_id(self) -> Optional[int]:
        """The session it belongs to; None of a process of no session, or where its session cannot be read."""
        session = self.record.get("Session")
        if not session:
            return None
        number = self.record.get("Session.SessionId")
        if number is None:
            try:
                number = self.target.type("_MM_SESSION_SPACE").over(self.memory).at(int(session)).get("SessionId")
            except SymbolError:
                return None
        return None if number is None else int(number)

    @property
    def peb(self) -> int:
        """The virtual address of its PEB, in its own address space; 0 where it has none."""
        return int(self.record.Peb)

    @property
    def directory_table_base(self) -> int:
        """DirectoryTableBase: the physical address of its top page table, with what CR3's low bits hold."""
        return int(self.record.member("Pcb.DirectoryTableBase"))

    @property
    def object_table(self) -> int:
        """The virtual address of its HANDLE_TABLE; 0 where it has none (any more)."""
        return int(self.record.ObjectTable)

    @property
    def device_map(self) -> int:
        """The virtual address of its DEVICE_MAP; 0 where it has none."""
        # Newer kernels keep a fast reference, whose low bits count.
        place = self.record.get("DeviceMap.Object")
        return int(place) & ~0xF if place is not None else int(self.record.DeviceMap)

    @property
    def is_wow64(self) -> bool:
        """Whether it runs 32-bit code."""
        return bool(self.record.get("WoW64Process") or self.record.get("Wow64Process"))

    @property
    def memory(self) -> AddressSpace:
        """Its address space: physical memory through its own page tables.

        The target's where that has no physical memory (a triage dump), or the process no page tables (any more).
        """
        target = self.target
        physical = target.physical
        if physical is None:
            return target.memory
        from dumpkit.kernel.paging import VirtualMemory, paging_scheme

        here = target.memory
        try:
            root = self.directory_table_base
        except DumpkitError:
            return here
        if isinstance(here, VirtualMemory):
            if not root & here.scheme.address_mask or root & here.scheme.address_mask == here.root:
                return here
            return VirtualMemory(physical, root, here.scheme, here.invalid_pte_mask)
        if not root:
            return here
        known = (target.system.ps_loaded_module_list,)
        return VirtualMemory(physical, root, paging_scheme(physical, target.architecture.machine, root, known))

    def threads(self) -> ListOf[Thread]:
        """Its threads, in the order of its list."""
        from dumpkit.kernel.thread import Thread

        return ListOf(_thread_walk(self), partial(Thread, self.target))


def _thread_walk(process: Process) -> ListWalk:
    target, record = process.target, process.record
    if "ThreadListHead" in record:
        return target.list(record.address_of("ThreadListHead"), "_ETHREAD", "ThreadListEntry", MOST_THREADS)
    return target.list(record.address_of("Pcb.ThreadListHead"), "_KTHREAD", "ThreadListEntry", MOST_THREADS)


def process_at(target: Target, address: int) -> Process:
    """The process at a virtual address. Raises DumpkitError with the reason where none is there."""
    process = Process(target, address)
    if process.is_valid:
        return process
    if target.memory.read_optional(process.address, 1) is None:
        raise DumpkitError(f"{process.address:016x} is no process: {target.memory.explain(process.address)}")
    raise DumpkitError(f"{process.address:016x} is no process: its header says that it is another object")


def processes(target: Target) -> ListOf[Process]:
    """The active processes, which the idle process is not among.

    Raises SymbolError where PsActiveProcessHead or _EPROCESS is not known.
    """
    head = target.symbols.address_of("nt!PsActiveProcessHead")
    return ListOf(target.list(head, "_EPROCESS", "ActiveProcessLinks", MOST_PROCESSES), partial(Process, target))


def idle_process(target: Target) -> Optional[Process]:
    """The idle process (PsIdleProcess), or None where it is not to be found."""
    try:
        address = target.memory.u64_optional(target.symbols.address_of("nt!PsIdleProcess"))
    except SymbolError:
        return None
    return Process(target, address) if address else None


def find_process(target: Target, which: Union[int, str]) -> Optional[Process]:
    """The first active process of an id, or of an image's name in any case (with or without its ending); or None.

    Raises SymbolError where the processes cannot be listed at all, DumpkitError where not all of them can be read.
    """
    unread: Optional[str] = None
    walk = processes(target)
    wanted = which.lower() if isinstance(which, str) else which
    for process in walk:
        try:
            if isinstance(wanted, int):
                if process.pid == wanted:
                    return process
                continue
            name = process.name.lower()
        except (MemoryReadError, MemberError) as error:
            unread = unread or f"process {process.address:016x}: {error}"
            continue
        if wanted in (name, name.rpartition(".")[0]):
            return process
    if not walk.complete:
        unread = f"the end of the list of processes: {walk.ended}"
    if unread is not None:
        raise DumpkitError(f"No process that can be read is {_shown(which)}, but not every one can: {unread}")
    return None


def _shown(which: Union[int, str]) -> str:
    return which if isinstance(which, str) else f"{which:x}"
