"""The machine of threads with what sessions ask beside: user mode, tokens, VADs, page frames, devices, interrupts."""

from __future__ import annotations

from pathlib import Path
from struct import pack
from typing import Dict, List, Optional, Sequence, Tuple

from dumpkit.kernel.process import Process
from dumpkit.kernel.thread import Thread
from dumpkit.session import Session
from dumpkit.target import Target

from tests.forge.layout import windows
from tests.forge.machine import Machine
from tests.forge.structure import Structure
from tests.forged_session import session_for
from tests.thread_machine import Made, make

#: User mode of the program: the page tables are the kernel's, for all processes of the machine.
PEB, TEB, LOADER, PARAMETERS, ENVIRONMENT = 0x7D683000, 0x917D7A000, 0x7D690000, 0x7D6A0000, 0x7D6B0000
PROGRAM, NTDLL, PEB32 = 0x7FF7EBEA0000, 0x7FF834650000, 0x7D500000
COMMAND_LINE = '"C:\\bin\\a_very_long_name.exe" -s Spooler'
VARIABLES = ("=::=::\\", "ALLUSERSPROFILE=C:\\ProgramData", "windir=C:\\Windows")
#: The kernel's variables that only these machines have, in its data.
_EXTRA = (
    "IopRootDeviceNode",
    "PspSystemPartition",
    "MmVerifierData",
    "ExWorkerQueue",
    "KeNumberNodes",
    "VfSuspectDriversList",
    "MmPagingFile",
    "MmNumberOfPagingFiles",
    "MmAvailablePages",
)
_EXTRA_RVA = 0x11F000
#: The first build whose VADs are linked by an _RTL_BALANCED_NODE, and whose KPRCBs list connected interrupts.
_FIRST_WITH_NODES = 9600

SYSTEM_SID = (5, 18)
ADMINISTRATORS = (5, 32, 544)


class SessionLab:
    """The machine; change it, then ask for `session`."""

    def __init__(self, build: int, folder: Path) -> None:
        self.folder = folder
        self.made: Made = make(build)
        self.machine: Machine = self.made.machine
        self.machine.layouts = windows(build, "session")
        nt = self.made.scene.images["nt"]
        old = self.machine.build < _FIRST_WITH_NODES
        for number, name in enumerate(each for each in _EXTRA if not (old and each == "PspSystemPartition")):
            nt.label(name, _EXTRA_RVA + 0x100 * number, is_function=False)
            self.machine.globals[name] = nt.base + _EXTRA_RVA + 0x100 * number
            self.machine.put(self.machine.globals[name], bytes(0x100))
        self._session: Optional[Session] = None

    @property
    def session(self) -> Session:
        """The session on a complete dump of the machine as it is now."""
        if self._session is None:
            self._session = session_for(self.machine, self.made.symbols(), self.folder, 5)
        return self._session

    @property
    def target(self) -> Target:
        return self.session.dump

    @property
    def parts(self) -> Dict[str, int]:
        return self.made.parts

    @property
    def program(self) -> Structure:
        """The EPROCESS of the program with user mode."""
        return self.machine.view("_EPROCESS", self.made.parts["program"])

    def process(self) -> Process:
        return Process(self.target, self.program.address)

    def thread(self, name: str) -> Thread:
        return Thread(self.target, self.made.threads[name].address)

    def text(self, text: str, place: Optional[int] = None) -> bytes:
        """A UNICODE_STRING; its characters lie at a place, or on the heap."""
        if place is None:
            return self.machine.counted_string(text)
        raw = text.encode("utf-16-le")
        self.machine.put(place, raw + b"\0\0")
        return pack("<HHIQ", len(raw), len(raw) + 2, 0, place)


def sid(machine: Machine, parts: Sequence[int]) -> int:
    """A SID: its authority, then its parts."""
    place = machine.allocate(8 + 4 * (len(parts) - 1))
    machine.put(place, pack("<BB6s", 1, len(parts) - 1, parts[0].to_bytes(6, "big")))
    machine.put(place + 8, b"".join(pack("<I", part) for part in parts[1:]))
    return place


def add_token(
    machine: Machine, groups: Sequence[Tuple[Sequence[int], int]], account: Tuple[str, str] = ("", "")
) -> Structure:
    """A token: its SIDs with their attributes, the user's first; the authority and name of its account."""
    token = machine.place("_TOKEN")
    array = machine.allocate(16 * len(groups))
    for index, (parts, attributes) in enumerate(groups):
        machine.put_u64(array + 16 * index, sid(machine, parts), attributes)
    token.set({"UserAndGroupCount": len(groups), "UserAndGroups": array, "TokenType": 1, "TokenInUse": 1})
    token.set({"TokenSource.SourceName": b"User32  ", "SessionId": 1, "TokenFlags": 0x2000})
    token.set({"AuthenticationId.LowPart": 0x3E7, "TokenId.LowPart": 0x1F1B4, "ModifiedId.LowPart": 0x1F1B6})
    token["PrimaryGroup"] = sid(machine, groups[0][0])
    if any(account):
        session = machine.place("_SEP_LOGON_SESSION_REFERENCES")
        session.set({"AuthorityName": account[0], "AccountName": account[1]})
        token["LogonSession"] = session
    return token


def add_user_mode(lab: SessionLab) -> None:
    """The program's PEB with its loader's lists and parameters, and its thread's TEB."""
    machine, program = lab.machine, lab.program
    program["Peb"] = PEB
    peb = machine.place("_PEB", PEB)
    peb.set({"BeingDebugged": 1, "ImageBaseAddress": PROGRAM, "Ldr": LOADER, "ProcessHeap": 0x20A6EE40000})
    peb["ProcessParameters"] = PARAMETERS
    _add_loader(lab)
    parameters = machine.place("_RTL_USER_PROCESS_PARAMETERS", PARAMETERS)
    parameters.set({"Flags": 1, "Environment": ENVIRONMENT})
    strings = {
        "CurrentDirectory.DosPath": "C:\\Windows\\", "WindowTitle": "C:\\bin\\a_very_long_name.exe",
        "ImagePathName": "C:\\bin\\a_very_long_name.exe", "CommandLine": COMMAND_LINE,
    }  # fmt: skip
    for number, (member, text) in enumerate(strings.items()):
        parameters[member] = lab.text(text, PARAMETERS + 0x1000 + 0x200 * number)
    environment = "".join(f"{each}\0" for each in VARIABLES).encode("utf-16-le") + b"\0\0"
    machine.put(ENVIRONMENT, environment)
    parameters["EnvironmentSize"] = len(environment)
    teb = machine.place("_TEB", TEB)
    teb.set({"NtTib.StackBase": 0x917E00000, "NtTib.StackLimit": 0x917DF0000, "NtTib.Self": TEB})
    teb.set({"ProcessEnvironmentBlock": PEB, "LastErrorValue": 5, "LastStatusValue": 0xC0000034})
    teb.set({"ClientId.UniqueProcess": 0x9AC, "ClientId.UniqueThread": 0x9B0})


def _add_loader(lab: SessionLab) -> None:
    machine = lab.machine
    data = machine.place("_PEB_LDR_DATA", LOADER)
    data["Initialized"] = 1
    links: List[int] = []
    images = (("C:\\bin\\a_very_long_name.exe", PROGRAM, 0x6512BD43), ("C:\\Windows\\ntdll.dll", NTDLL, 0xE0000000))
    for number, (path, base, stamp) in enumerate(images):
        entry = machine.place("_LDR_DATA_TABLE_ENTRY", LOADER + 0x1000 + 0x200 * number)
        entry.set({"DllBase": base, "SizeOfImage": 0x10000, "TimeDateStamp": stamp})
        place = LOADER + 0x2000 + 0x200 * number
        entry["FullDllName"] = lab.text(path, place)
        entry["BaseDllName"] = lab.text(path.rpartition("\\")[2], place + 0x100)
        links.append(entry.at("InLoadOrderLinks"))
    machine.link(data.at("InLoadOrderModuleList"), links)
    for name in ("InMemoryOrderModuleList", "InInitializationOrderModuleList"):
        machine.link(data.at(name), ())


def add_descriptors(lab: SessionLab) -> List[Structure]:
    """The program's VADs: private memory, a section of the paging file's and an image, the first below the second."""
    machine, program = lab.machine, lab.program
    if machine.build < _FIRST_WITH_NODES:
        return _old_descriptors(lab)
    made = []
    for start, end, facts in (
        (0x7FFE0, 0x7FFE0, {"u.VadFlags.PrivateMemory": 1, "u.VadFlags.Protection": 1, "u1.VadFlags1.CommitCharge": 1}),
        (0x20BA8DC0, 0x20BA8DDA, {"u.VadFlags.Protection": 4}),
        (0x7FF7EBEA0, 0x7FF7EBEAF, {"u.VadFlags.VadType": 2, "u.VadFlags.Protection": 7}),
    ):
        vad = machine.place("_MMVAD")
        core = machine.view("_MMVAD_SHORT", vad.address)
        core.set({"StartingVpn": start & 0xFFFFFFFF, "StartingVpnHigh": start >> 32, **facts})
        core.set({"EndingVpn": end & 0xFFFFFFFF, "EndingVpnHigh": end >> 32})
        made.append(core)
    first, root, last = made
    root.set({"VadNode.Left": first, "VadNode.Right": last})
    machine.view("_MMVAD_SHORT", last.address)["u1.VadFlags1.CommitCharge"] = 0x29
    _add_sections(machine, ((root, 0), (last, _image_file(machine))))
    program.set({"VadRoot.Root": root, "VadCount": 3})
    return made


def _old_descriptors(lab: SessionLab) -> List[Structure]:
    """The same as Windows 7 keeps them: children in the descriptors, the tree below VadRoot.BalancedRoot."""
    machine, program = lab.machine, lab.program
    made = []
    for start, end, facts in (
        (0x7FFE0, 0x7FFE0, {"u.VadFlags.PrivateMemory": 1, "u.VadFlags.Protection": 1, "u.VadFlags.CommitCharge": 1}),
        (0x20BA8DC0, 0x20BA8DDA, {"u.VadFlags.Protection": 4}),
        (
            0x7FF7EBEA0,
            0x7FF7EBEAF,
            {"u.VadFlags.VadType": 2, "u.VadFlags.Protection": 7, "u.VadFlags.CommitCharge": 41},
        ),
    ):
        vad = machine.place("_MMVAD")
        made.append(machine.view("_MMVAD_SHORT", vad.address).set({"StartingVpn": start, "EndingVpn": end, **facts}))
    first, root, last = made
    root.set({"LeftChild": first, "RightChild": last})
    _add_sections(machine, ((root, 0), (last, _image_file(machine))))
    program["VadRoot.BalancedRoot.RightChild"] = root
    return made


def _add_sections(machine: Machine, files: Sequence[Tuple[Structure, int]]) -> None:
    """What mapped descriptors lead to; a file of 0 is a section of the paging file's."""
    for vad, file in files:
        area, subsection, segment = (machine.place(name) for name in ("_CONTROL_AREA", "_SUBSECTION", "_SEGMENT"))
        subsection["ControlArea"] = area
        area.set({"Segment": segment, "FilePointer.Value": file | 0xC if file else 0})
        segment["NumberOfCommittedPages"] = 0x1B
        machine.view("_MMVAD", vad.address)["Subsection"] = subsection


def _image_file(machine: Machine) -> int:
    file = machine.place("_FILE_OBJECT")
    file.set({"Type": 5, "Size": file.size, "FileName": "\\bin\\a_very_long_name.exe"})
    return file.address


def add_page_frames(lab: SessionLab, first: int, count: int) -> None:
    """A page frame database that has a few entries: active ones with a page-table entry each."""
    machine = lab.machine
    base = 0xFFFFFA8000000000
    size = machine.layouts.size("_MMPFN")
    for number in range(first, first + count):
        frame = machine.place("_MMPFN", base + number * size)
        frame.set({"PteAddress": 0xFFFFF6FB40001230 + 8 * number, "OriginalPte.u.Long": 0x80, "u4.PteFrame": 0x914})
        frame.set({"u2.ShareCount": 1, "u3.ReferenceCount": 1, "u3.e1.PageLocation": 6, "u3.e1.Modified": number & 1})
        frame.set({"u3.e1.CacheAttribute": 1, "u3.e3.Priority" if "u3.e3" in frame else "u3.e1.Priority": 5})
    machine.set_global("MmPfnDatabase", base)


def add_device_nodes(lab: SessionLab) -> List[Structure]:
    """A tree: the root, below it a controller with a disk, and a device with a problem."""
    machine = lab.machine
    states = dict(machine.layouts.type("_PNP_DEVNODE_STATE").enumerators)
    nodes = []
    for path, service, state in (
        ("HTREE\\ROOT\\0", "", "DeviceNodeStarted"),
        ("PCI\\VEN_8086&DEV_3B22\\3&21436425&0&FA", "storahci", "DeviceNodeStarted"),
        ("SCSI\\Disk&Ven_&Prod_ST3500418AS\\4&23d99fa2&0&000000", "disk", "DeviceNodeStarted"),
        ("ROOT\\BAD\\0000", "bad", "DeviceNodeDriversAdded"),
    ):
        node = machine.place("_DEVICE_NODE")
        node.set(
            {"InstancePath": path, "State": states[state], "PreviousState": states["DeviceNodeEnumerateCompletion"]}
        )
        if service:
            node["ServiceName"] = service
        node["PhysicalDeviceObject"] = 0xFFFFA08F00001000 + 0x100 * len(nodes)
        nodes.append(node)
    root, controller, disk, bad = nodes
    root["Child"] = controller
    controller.set({"Child": disk, "Sibling": bad, "Parent": root})
    disk["Parent"] = controller
    bad.set({"Parent": root, "Flags": 0x2000, "Problem": 10})
    if "ProblemStatus" in bad:
        bad["ProblemStatus"] = 0xC0000001
    machine.set_global("IopRootDeviceNode", root)
    return nodes


def add_interrupts(lab: SessionLab, pcr: int) -> Structure:
    """An interrupt dispatch table for the processor whose KPCR is at an address: two vectors shared by a driver."""
    machine = lab.machine
    table = machine.u64(pcr + machine.layouts.offset("_KPCR", "IdtBase"))
    machine.put(table, bytes(0x1000))
    common = lab.made.scene.places["nt!KiSwapThread"].address
    for vector, handler, slot in ((0, common, 0), (2, common, 3), (0x37, common + 4, 0), (0x82, common + 8, 0)):
        gate = pack("<HHHHII", handler & 0xFFFF, 0x10, 0x8E00 | slot, handler >> 16 & 0xFFFF, handler >> 32, 0)
        machine.put(table + 16 * vector, gate)
    task = machine.allocate(0x68)
    machine.put_u64(task + 0x1C + 8 * 3, 0xFFFFF80077E91000)
    machine.put_u64(pcr + machine.layouts.offset("_KPCR", "TssBase"), task)
    interrupts = [machine.place("_KINTERRUPT") for _ in range(2)]
    service = lab.made.scene.places["test!Worker"].address
    if "DispatchCode" in interrupts[0]:
        # The gate leads to code at the end of the object.
        handler = interrupts[0].at("DispatchCode")
        gate = pack("<HHHHII", handler & 0xFFFF, 0x10, 0x8E00, handler >> 16 & 0xFFFF, handler >> 32, 0)
        machine.put(table + 16 * 0x82, gate)
    for number, interrupt in enumerate(interrupts):
        interrupt.set({"Type": 22, "Vector": 0x82, "ServiceRoutine": service + 0x10 * number})
    machine.link(interrupts[0].at("InterruptListEntry"), [interrupts[1].at("InterruptListEntry")])
    prcb = machine.view("_KPRCB", pcr + machine.layouts.offset("_KPCR", "Prcb"))
    if "InterruptObject" in prcb:
        prcb["InterruptObject[130]"] = interrupts[0]
    return interrupts[0]


def add_apc(lab: SessionLab, thread: str, mode: int, kernel: str, normal: str = "") -> Structure:
    """An APC in a thread's queue (0 kernel, 1 user); its routines by their symbols."""
    machine = lab.machine
    owner = lab.made.threads[thread]
    apc = machine.place("_KAPC")
    apc.set({"Type": 18, "Size": 0x58, "Thread": owner, "ApcMode": mode, "Inserted": 1})
    apc["KernelRoutine"] = lab.made.scene.places[kernel].address
    if normal:
        apc.set({"NormalRoutine": lab.made.scene.places[normal].address, "NormalContext": 0x1234})
    machine.append(owner.at(f"Tcb.ApcState.ApcListHead[{mode}]"), apc.at("ApcListEntry"))
    return apc


def add_work_queues(lab: SessionLab) -> Structure:
    """The work queues of the machine: one whose only thread works while an item waits. The item."""
    machine = lab.machine
    worker = lab.made.threads["worker 1"]
    item = machine.place("_WORK_QUEUE_ITEM")
    item.set({"WorkerRoutine": lab.made.scene.places["test!Worker"].address, "Parameter": 0x1234})
    if machine.build < _FIRST_WITH_NODES:
        size = machine.layouts.size("_EX_WORK_QUEUE")
        queues = [
            machine.place("_EX_WORK_QUEUE", machine.address("ExWorkerQueue") + size * index) for index in range(3)
        ]
        for queue in queues:
            for head in ("WorkerQueue.EntryListHead", "WorkerQueue.ThreadListHead"):
                machine.link(queue.at(head), ())
        queue = queues[1]
        queue.set({"WorkerQueue.CurrentCount": 1, "WorkerQueue.MaximumCount": 2, "WorkItemsProcessed": 7})
        machine.append(queue.at("WorkerQueue.EntryListHead"), item.at("List"))
        machine.append(queue.at("WorkerQueue.ThreadListHead"), worker.at("Tcb.QueueListEntry"))
        return item
    queues = [machine.place("_EX_WORK_QUEUE") for _ in range(2)]
    for queue in queues:
        for priority in range(32):
            machine.link(queue.at(f"WorkPriQueue.EntryListHead[{priority}]"), ())
        machine.link(queue.at("WorkPriQueue.ThreadListHead"), ())
    queue = queues[0]
    queue.set({"WorkPriQueue.CurrentCount[12]": 1, "WorkPriQueue.MaximumCount": 2, "ThreadCount": 1})
    queue.set({"WorkItemsProcessed": 7, "MaxThreads": 4096})
    machine.append(queue.at("WorkPriQueue.EntryListHead[12]"), item.at("List"))
    machine.append(queue.at("WorkPriQueue.ThreadListHead"), worker.at("Tcb.QueueListEntry"))
    row = machine.allocate(8 * 8)
    machine.put_u64(row, *(each.address for each in queues))
    table = machine.allocate(8)
    machine.put_u64(table, row)
    inner, outer = machine.place("_EX_PARTITION"), machine.place("_EPARTITION")
    inner["WorkQueues"] = table
    outer["ExPartition"] = inner
    machine.set_global("PspSystemPartition", outer)
    return item


def add_verifier(lab: SessionLab, level: int) -> List[Structure]:
    """Driver Verifier with settings and counts, and two drivers that it watches, the second unloaded."""
    machine = lab.machine
    verifier = machine.view("_MM_DRIVER_VERIFIER_DATA", machine.address("MmVerifierData"))
    verifier.set({"Level": level, "AcquireSpinLocks": 0x362, "AllocationsAttempted": 0x7B058, "PagedBytes": 0x950})
    verifier["CurrentPagedPoolAllocations"] = 0x1A
    entries = []
    for name, unloads in (("testdrv.sys", 0), ("other.sys", 1)):
        entry = machine.place("_VF_SUSPECT_DRIVER_ENTRY")
        entry.set({"Loads": 1, "Unloads": unloads, "BaseName": name})
        entries.append(entry)
    machine.link(machine.address("VfSuspectDriversList"), [entry.at("Links") for entry in entries])
    return entries
