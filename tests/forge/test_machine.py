"""Machines of the forge: structures at their places, in every state that readers ask for."""

from __future__ import annotations

from contextlib import closing
from typing import List, Optional

import pytest
from dumpkit.dump import open_dump

from tests.forge.assembly import Code
from tests.forge.image import Image
from tests.forge.image_sections import DATA, PDATA, RDATA, TEXT
from tests.forge.image_tables import CodeView
from tests.forge.io import StackLocation, add_device, add_driver, add_file, add_irp
from tests.forge.kernel_variables import add_debugger_data, label_variables, set_bugcheck, set_build
from tests.forge.machine import Machine
from tests.forge.modules import Unloaded, add_loaded_modules, add_unloaded_modules
from tests.forge.objects import TYPES, ObjectManager
from tests.forge.page_tables import transition_pte
from tests.forge.process import add_process
from tests.forge.processor import add_processor, context_record
from tests.forge.shared_data import add_shared_data
from tests.forge.stack import KernelStack
from tests.forge.sync import add_event, add_fast_mutex, add_mutant, add_resource, add_semaphore
from tests.forge.thread import READY, STANDBY, TERMINATED, WAITING, add_thread, ready, run, standby, terminate, wait

BASE = 0xFFFFF80010000000
STACK = 0xFFFFA00000010000


def kernel_image() -> Image:
    image = Image("ntoskrnl.exe", BASE, 0x5F000001, size=0x200000)
    for name, kind, rva, size in (
        (".text", TEXT, 0x1000, 0x2000),
        (".rdata", RDATA, 0x4000, 0x1000),
        (".pdata", PDATA, 0x5000, 0x1000),
        (".data", DATA, 0x10000, 0x1F0000),
    ):
        image.section(name, kind, rva, size)
    image.set_codeview(CodeView("ntkrnlmp.pdb", "112233445566778899AABBCCDDEEFF00"))
    image.function("KiSwapContext", Code().nop(0x80).ret(), 0x1000)
    label_variables(image, {}, 0x10000)
    return image


class Small:
    """A small machine: one processor, System with a running thread."""

    def __init__(self, build: int = 19041) -> None:
        self.machine = machine = Machine(build)
        machine.load(kernel_image(), "\\SystemRoot\\system32\\ntoskrnl.exe")
        machine.link(machine.address("PsActiveProcessHead"), ())
        machine.link(machine.address("ExpSystemResourcesList"), ())
        add_loaded_modules(machine)
        self.objects = ObjectManager(machine)
        self.system = add_process(machine, "System", 4, None, self.objects)
        registers = {"rip": BASE + 0x1000, "rsp": STACK - 0x100}
        self.processor = add_processor(machine, 0, 0xFFFFA80000001000, registers, irql=2)
        self.thread = self.new_thread(8)
        run(self.thread, self.processor)
        set_build(machine, f"{build}.1.amd64fre.forged", f"{build}.1.amd64fre.forged")
        set_bugcheck(machine, 0xE2, 1, 2, 3, 4)
        machine.header.update(processors=1, context=context_record(registers))

    def new_thread(self, tid: int, stack: Optional[KernelStack] = None):
        base = STACK + tid * 0x10000 if tid != 8 else STACK
        stack = stack or KernelStack(self.machine, base, mapped=0x1000)
        return add_thread(self.machine, self.system, tid, stack, None, self.objects)

    def finish(self) -> Machine:
        add_shared_data(self.machine, 0x1DA26B9F80000000, 4509110000, 1)
        add_debugger_data(self.machine)
        return self.machine


@pytest.fixture(params=(19041, 22000, 22621))
def small(request) -> Small:
    return Small(request.param)


@pytest.mark.parametrize("kind", (1, 4, 5, 6))
def test_a_machine_is_read_from_every_kind_of_dump(kind, small, tmp_path):
    small.finish().save(tmp_path / "small.dmp", kind)
    with closing(open_dump(str(tmp_path / "small.dmp"))) as target:
        assert target.system.build == small.machine.build
        assert target.system.build_lab == f"{small.machine.build}.1.amd64fre.forged"
        assert target.thread_address(0) == small.thread.address
        assert target.process_address(0) == small.system.address
        assert not target.notes


def test_the_same_calls_give_the_same_bytes():
    assert Small().finish().dump(6) == Small().finish().dump(6)


def test_a_header_of_an_object_leads_to_its_type(small):
    machine = small.machine
    header = small.thread.address - 0x30
    index = machine.read(header + 0x18, 1)[0] ^ header >> 8 & 0xFF ^ small.objects.cookie
    assert index == TYPES["Thread"]
    assert machine.u64(machine.address("ObTypeIndexTable") + 8 * index) == small.objects.types["Thread"].address
    # It must not lie upon the object's own first bytes.
    assert small.thread["Tcb.Header.Type"] == 6


def test_a_name_of_an_object_stands_before_its_header(small):
    event = small.objects.create("_KEVENT", "Event", "Done")
    header = small.machine.view("_OBJECT_HEADER", event.address - 0x30)
    offset = small.machine.read(small.machine.address("ObpInfoMaskToOffset") + header["InfoMask"], 1)[0]
    info = small.machine.view("_OBJECT_HEADER_NAME_INFO", header.address - offset)
    text = small.machine.read(info["Name.Buffer"], info["Name.Length"]).decode("utf-16-le")
    assert text == "Done"


def walk(machine: Machine, head: int) -> List[int]:
    found, entry = [], machine.u64(head)
    while entry != head:
        assert machine.u64(machine.u64(entry) + 8) == entry
        found.append(entry)
        entry = machine.u64(entry)
    return found


def test_a_waiting_thread_stands_in_the_list_of_what_it_waits_for(small):
    mutant = add_mutant(small.machine, small.thread)
    semaphore = add_semaphore(small.machine, limit=3)
    waiter = small.new_thread(12)
    wait(waiter, 6, [mutant, semaphore])
    assert (waiter["Tcb.State"], waiter["Tcb.WaitReason"]) == (WAITING, 6)
    assert walk(small.machine, mutant.at("Header.WaitListHead")) == [waiter.at("Tcb.WaitBlock[0].WaitListEntry")]
    assert waiter["Tcb.WaitBlock[1].Object"] == semaphore.address
    assert mutant["OwnerThread"] == small.thread.address and mutant["Header.SignalState"] == 0
    assert walk(small.machine, small.thread.at("Tcb.MutantListHead")) == [mutant.at("MutantListEntry")]


def test_ready_standby_and_terminated_threads_are_where_the_scheduler_has_them(small):
    prcb = small.processor.prcb
    first, second, last = (small.new_thread(tid) for tid in (12, 16, 20))
    ready(first, small.processor)
    standby(second, small.processor)
    terminate(last)
    assert walk(small.machine, prcb.at("DispatcherReadyListHead[8]")) == [first.at("Tcb.WaitListEntry")]
    assert prcb["ReadySummary"] == 1 << 8 and prcb["NextThread"] == second.address
    assert [each["Tcb.State"] for each in (first, second, last)] == [READY, STANDBY, TERMINATED]
    assert last["Terminated"] == 1
    assert small.system["ActiveThreads"] == 4


def test_a_shared_ready_queue_takes_threads_too(small):
    queue = small.machine.place("_KSHARED_READY_QUEUE")
    thread = small.new_thread(12)
    ready(thread, small.processor, queue)
    assert walk(small.machine, queue.at("ReadyListHead[8]")) == [thread.at("Tcb.WaitListEntry")]


def test_an_irp_is_in_its_threads_list_at_its_current_location(small):
    machine, objects = small.machine, small.objects
    driver = add_driver(machine, objects, "\\FileSystem\\Ntfs", BASE, 0x1000, {0: BASE + 1}, BASE)
    device = add_device(machine, objects, driver, 8, stack_size=2)
    file = add_file(machine, objects, device, "\\Temp\\x.txt", None, "rw")
    irp = add_irp(machine, small.thread, [StackLocation(0, device, file), StackLocation(3)], 1)
    assert walk(machine, small.thread.at("IrpList")) == [irp.at("ThreadListEntry")]
    location = machine.view("_IO_STACK_LOCATION", irp["Tail.Overlay.CurrentStackLocation"])
    assert location.address == irp.address + irp.size
    assert location["FileObject"] == file.address and location["DeviceObject"] == device.address
    assert driver["MajorFunction[0]"] == BASE + 1 and driver["MajorFunction[27]"] == BASE


def test_locks_say_who_owns_them(small):
    mutex = add_fast_mutex(small.machine, owner=small.thread)
    assert (mutex["Count"], mutex["Owner"]) == (0, small.thread.address)
    free, held = add_resource(small.machine), add_resource(small.machine, exclusive=small.thread)
    shared = add_resource(small.machine, shared=[(small.thread, 2)])
    lists = [each.at("SystemResourcesList") for each in (free, held, shared)]
    assert walk(small.machine, small.machine.address("ExpSystemResourcesList")) == lists
    assert held["OwnerEntry.OwnerThread"] == small.thread.address and held["Flag"] == 0x80
    entry = small.machine.view("_OWNER_ENTRY", shared["OwnerTable"] + small.machine.layouts.size("_OWNER_ENTRY"))
    assert (entry["OwnerThread"], entry["OwnerCount"]) == (small.thread.address, 2)


def test_a_thread_that_left_the_processor_returns_into_the_switch(small):
    stack = KernelStack(small.machine, STACK + 0x100000, mapped=0x1000)
    stack.call(0, 0x28)
    top = stack.call(BASE + 0x1234, 0x138, home=(1, 2, 3, 4))
    thread = small.new_thread(12, stack)
    assert small.machine.u64(top + 0x138) == BASE + 0x1234
    thread["Tcb.KernelStack"] = stack.switch_out(BASE + 0x1076)
    assert small.machine.u64(thread["Tcb.KernelStack"] + 0x38) == BASE + 0x1076


def test_an_event_and_unloaded_drivers_are_told(small, tmp_path):
    event = add_event(small.machine, signaled=True, notification=True)
    assert (event["Header.Type"], event["Header.SignalState"]) == (0, 1)
    add_unloaded_modules(small.machine, [Unloaded(BASE - 0x2000, BASE - 0x1000, "gone.sys", 5)])
    small.finish().save(tmp_path / "small.dmp", 6)
    with closing(open_dump(str(tmp_path / "small.dmp"))) as target:
        assert [(module[0], module.name) for module in target.unloaded_modules] == [(BASE - 0x2000, "gone.sys")]


def test_a_pte_of_any_kind_can_stand_for_a_page(small, tmp_path):
    place = 0xFFFFB80000000000
    page = small.machine.memory.allocate()
    small.machine.memory.write(page << 12, b"in transition")
    small.machine.set_pte(place, transition_pte(page))
    small.finish().save(tmp_path / "small.dmp", 6)
    with closing(open_dump(str(tmp_path / "small.dmp"))) as target:
        assert target.memory.read(place, 13) == b"in transition"


def test_a_member_that_a_build_lacks_is_refused(small):
    with pytest.raises(KeyError, match="has no Tcb"):
        small.thread["Tcb.Soup"] = 1
    with pytest.raises(ValueError, match="which has 15"):
        small.system["ImageFileName"] = bytes(16)
