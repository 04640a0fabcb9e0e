"""A machine with a thread for each state and each kind of wait."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Tuple

from tests.forge.io import StackLocation, add_device, add_driver, add_file, add_irp
from tests.forge.kernel_variables import add_debugger_data, set_bugcheck
from tests.forge.locks import add_lock_entry, add_push_lock, chain_waiters, own_by_pointer
from tests.forge.machine import Machine
from tests.forge.pdb import Pdb
from tests.forge.process import add_process
from tests.forge.processor import context_record
from tests.forge.scene import Scene
from tests.forge.shared_data import add_shared_data
from tests.forge.stack import KernelStack
from tests.forge.structure import Structure
from tests.forge.sync import (
    QUEUE,
    add_event,
    add_fast_mutex,
    add_mutant,
    add_resource,
    add_semaphore,
    add_timer,
)
from tests.forge.thread import add_thread, ready, run, standby, terminate, wait

BASES = {"nt": ("ntoskrnl.exe", 0xFFFFF80230000000), "test": ("test.sys", 0xFFFFF80241C00000)}
CRASH_TIME, UPTIME = 133461753454550000, 12345678900
TICKS = UPTIME // 156250
#: KWAIT_REASON.
EXECUTIVE, DELAY, USER_REQUEST, QUEUE_REASON, LPC_REPLY = 0, 4, 6, 15, 17
RESOURCE, PUSH_LOCK, PREEMPTED, FAST_MUTEX, TERMINATED_REASON = 27, 28, 32, 34, 22
#: The first build whose threads wait for resources and push locks by blocks on their stacks, with lock entries.
FIRST_WITH_STACK_WAITERS = 9200
#: Where a waiting thread's wait blocks and events may lie: below its outermost frames.
_LOCALS = 0x1200


class Made(NamedTuple):
    """The machine, and what of it tests name."""

    scene: Scene
    machine: Machine
    threads: Dict[str, Structure]
    parts: Dict[str, int]

    def symbols(self) -> List[Pdb]:
        return self.scene.symbols()


class _Builder:
    """Makes one thread after the other."""

    def __init__(self, build: int) -> None:
        scene = self.scene = Scene(build, BASES)
        for symbol in ("nt!ExpWaitForResource", "nt!ExAcquireResourceExclusiveLite", "test!Worker", "nt!IofCallDriver"):
            scene.define(symbol)
        scene.define("nt!ExpAcquireFastMutexContended")
        scene.define("nt!ExfAcquirePushLockSharedEx")
        self.machine = scene.open()
        self.threads: Dict[str, Structure] = {}
        self.parts: Dict[str, int] = {}
        self._next = 0

    def thread(self, name: str, symbols: Tuple[str, ...] = ("test!Worker",), **facts: int) -> Structure:
        """A thread that has left its processor in KeWaitForSingleObject."""
        number = self._next
        self._next += 1
        facts.setdefault("wait_time", TICKS - 42)
        made = self.scene.waiting_thread(0x100 + 4 * number, 0xFFFFFE8020010000 + number * 0x10000, symbols, **facts)
        self.threads[name] = made
        return made

    def local(self, name: str, offset: int = 0) -> int:
        """A place in a thread's stack that none of its frames uses."""
        return self.threads[name]["Tcb.StackBase"] - _LOCALS + offset

    def event_on_stack(self, name: str, notification: bool = False) -> Structure:
        return add_event(self.machine, self.local(name), notification=notification)


def make(build: int = 19041) -> Made:
    """The machine on a build of Windows."""
    at = _Builder(build)
    machine, scene = at.machine, at.scene
    stack = KernelStack(machine, 0xFFFFFE8012340000)
    registers = scene.bugcheck(stack, ["nt!KiStartSystemThread", "nt!PspSystemThreadStartup", "test!Worker"])
    first = scene.processor(0, 0xFFFFF8022E5E1000, registers, KernelStack(machine, 0xFFFFFE8012350000, mapped=0x1000))
    second = scene.idle_processor(1, 0xFFFFAB0154A80000, 0xFFFFFE8011010000)
    runner = add_thread(
        machine, scene.system, 0x80, stack, objects=scene.objects, wait_reason=RESOURCE, wait_time=TICKS - 1,
        kernel_ticks=38, user_ticks=1, context_switches=3,
    )  # fmt: skip
    run(runner, first)
    at.threads["runner"] = runner
    _states(at, second)
    _objects(at)
    _locks(at)
    _deadlocks(at)
    _requests(at)
    add_shared_data(machine, CRASH_TIME, UPTIME, 2)
    add_debugger_data(machine)
    set_bugcheck(machine, 0xE2)
    machine.header.update(processors=2, context=context_record(registers), exception_code=0x80000003)
    machine.header.update(exception_address=registers["rip"])
    return Made(scene, machine, at.threads, at.parts)


def _states(at: _Builder, processor: object) -> None:
    """Every state, and a process with user mode."""
    machine, scene = at.machine, at.scene
    ready(at.thread("ready"), processor)  # type: ignore[arg-type]
    standby(at.thread("standby", wait_reason=PREEMPTED, wait_time=TICKS), processor)  # type: ignore[arg-type]
    at.threads["standby"]["Tcb.PriorityDecrement"] = 0x20
    terminate(at.thread("terminated", wait_reason=TERMINATED_REASON, priority=12))
    at.thread("initialized")["Tcb.State"] = 0
    program = add_process(
        machine, "a_very_long_name.exe", 0x9AC, None, scene.objects, parent=4, create_time=CRASH_TIME - 10**10,
        path="\\Device\\HarddiskVolume3\\bin\\a_very_long_name.exe",
    )  # fmt: skip
    at.parts["program"] = program.address
    stack = KernelStack(machine, 0xFFFFFE8030010000, mapped=0x2000)
    scene.enter(stack, ["nt!KeWaitForSingleObject", "nt!KiCommitThreadWait", "nt!KiSwapThread", "nt!KiSwapContext"])
    stack.switch_out(scene.return_into("nt!KiSwapContext"))
    user = add_thread(machine, program, 0x9B0, stack, objects=scene.objects, teb=0x0000000917D7A000, user_ticks=675)
    at.threads["user"] = user
    wait(user, USER_REQUEST, [add_event(machine, notification=True)], user_mode=True)
    swapped = at.thread("swapped")
    wait(swapped, EXECUTIVE, [add_event(machine)])
    swapped["Tcb.KernelStackResident"] = 0


def _objects(at: _Builder) -> None:
    """A wait for each kind of dispatcher object."""
    machine = at.machine
    wait(at.thread("sleeper"), DELAY, [at.threads["sleeper"].at("Tcb.Timer")])
    wait(at.thread("dozer"), DELAY, [add_event(machine)])
    at.threads["dozer"]["Tcb.WaitBlock[0].Object"] = 0xFFFFFFFFFFFFFFFF
    wait(at.thread("semaphore"), EXECUTIVE, [add_semaphore(machine, 7)])
    wait(at.thread("joiner"), EXECUTIVE, [at.threads["ready"]])
    process = machine.view("_EPROCESS", at.parts["program"])
    machine.link(process.at("Pcb.Header.WaitListHead"), ())
    wait(at.thread("process"), EXECUTIVE, [process])
    queue = machine.place("_KQUEUE")
    queue.set({"Header.Type": QUEUE, "Header.Size": queue.size // 4})
    machine.link(queue.at("Header.WaitListHead"), ())
    for name in ("worker 1", "worker 2", "worker 3"):
        wait(at.thread(name), QUEUE_REASON, [queue])
    wait(at.thread("timer"), EXECUTIVE, [add_timer(machine, UPTIME + 10**7)])
    any_of = at.thread("any", priority=9)
    wait(any_of, USER_REQUEST, [add_event(machine), add_mutant(machine, at.threads["runner"])])
    wait(at.thread("notified"), EXECUTIVE, [at.event_on_stack("notified", notification=True)])
    wait(at.thread("wild"), EXECUTIVE, [add_event(machine)])
    at.threads["wild"]["Tcb.WaitBlock[0].Object"] = 0xFFFF900000001000
    looping = add_event(machine)
    wait(at.thread("looping"), EXECUTIVE, [looping])
    block = at.threads["looping"].at("Tcb.WaitBlock[0].WaitListEntry")
    machine.put_u64(block, block)


def _locks(at: _Builder) -> None:
    """Fast mutexes, resources and push locks."""
    machine, threads = at.machine, at.threads
    mutex = add_fast_mutex(machine, owner=threads["runner"], contention=1)
    at.parts["fast mutex"] = mutex.address
    wait(at.thread("fast", ("test!Worker", "nt!ExpAcquireFastMutexContended")), FAST_MUTEX, [mutex.at("Event")])
    acquiring = ("test!Worker", "nt!ExAcquireResourceExclusiveLite", "nt!ExpWaitForResource")
    for name in ("exclusive", "shared", "entry", "pointer"):
        at.thread(name, acquiring)
    if machine.build < FIRST_WITH_STACK_WAITERS:
        _old_resources(at)
        return
    for name in ("exclusive", "shared", "entry", "pointer"):
        wait(threads[name], RESOURCE, [at.event_on_stack(name)])
    held = add_resource(machine, exclusive=threads["ready"], contention=1)
    chain_waiters(held, [at.local("exclusive", 0x20)])
    at.parts["held"] = held.address
    shared = add_resource(machine, shared=[(threads["ready"], 1), (threads["runner"], 2)], contention=39)
    chain_waiters(shared, [at.local("shared", 0x20)])
    at.parts["shared"] = shared.address
    named = add_resource(machine, exclusive=threads["terminated"], exclusive_waiters=1)
    add_lock_entry(threads["entry"], 2, named.address, acquired=False, waiting=True)
    at.parts["named"] = named.address
    pointed = add_resource(machine)
    own_by_pointer(pointed, 0xFFFFE00012345678)
    chain_waiters(pointed, [at.local("pointer", 0x20)])
    at.parts["free resource"] = add_resource(machine).address
    for name in ("push", "push 2", "push lost"):
        at.thread(name, ("test!Worker", "nt!ExfAcquirePushLockSharedEx"))
        wait(threads[name], PUSH_LOCK, [at.event_on_stack(name)])
    lock = add_push_lock(machine, [at.local("push 2"), at.local("push")])
    at.parts["push lock"] = lock
    for name in ("push", "push 2"):
        # The function that waits keeps the lock's address in its frame.
        machine.put_u64(threads[name]["Tcb.KernelStack"] + 0x300, lock)
    add_lock_entry(at.thread("push owner"), 1, lock)
    wait(threads["push owner"], EXECUTIVE, [add_event(machine)])


def _old_resources(at: _Builder) -> None:
    """Resources of Windows 7 and before: threads wait for the resource's own event and semaphore."""
    machine, threads = at.machine, at.threads
    held = add_resource(machine, exclusive=threads["ready"], contention=1, exclusive_waiters=1)
    owners = [(threads["ready"], 1), (threads["runner"], 2)]
    shared = add_resource(machine, shared=owners, contention=39, exclusive_waiters=1)
    named = add_resource(machine, exclusive=threads["terminated"], exclusive_waiters=1)
    pointed = add_resource(machine, shared_waiters=1)
    own_by_pointer(pointed, 0xFFFFE00012345678)
    for name, resource in (("exclusive", held), ("shared", shared), ("entry", named), ("pointer", pointed)):
        waited = add_semaphore(machine, 0) if resource is pointed else add_event(machine)
        resource["SharedWaiters" if resource is pointed else "ExclusiveWaiters"] = waited
        wait(threads[name], RESOURCE, [waited])
    at.parts["pointed"] = pointed.address
    at.parts.update(held=held.address, shared=shared.address, named=named.address)
    at.parts["free resource"] = add_resource(machine).address


def _deadlocks(at: _Builder) -> None:
    """Threads that wait for each other, and one that waits for itself."""
    machine = at.machine
    names = ("dead 1", "dead 2", "dead 3")
    mutants = [add_mutant(machine, at.thread(name)) for name in names]
    for name, mutant in zip(names, [*mutants[1:], mutants[0]]):
        wait(at.threads[name], EXECUTIVE, [mutant])
    selfish = at.thread("selfish")
    wait(selfish, FAST_MUTEX, [add_fast_mutex(machine, owner=selfish).at("Event")])
    lucky = at.thread("lucky")
    wait(lucky, EXECUTIVE, [add_mutant(machine, lucky), add_event(machine)])


def _requests(at: _Builder) -> None:
    """Threads that wait for their requests."""
    machine, scene = at.machine, at.scene
    default = scene.places["nt!IofCallDriver"].address
    image = scene.images["test"]
    driver = add_driver(machine, scene.objects, "\\Driver\\testdrv", image.base, image.size, {}, default)
    device = add_device(machine, scene.objects, driver, 0x22, "Test0")
    for name in ("request", "file request", "only request"):
        thread = at.thread(name)
        event = at.event_on_stack(name)
        file = add_file(machine, scene.objects, device, f"\\data\\{name}.txt", access="r")
        irp = add_irp(machine, thread, [StackLocation(3, device, file)], 1)
        at.parts[name] = irp.address
        if name == "request":
            irp["UserEvent"] = event
        waited = event.address
        if name == "file request":
            waited = file.at("Event")
            file.set({"Event.Header.Type": 1, "Event.Header.Size": 6})
            machine.link(file.at("Event.Header.WaitListHead"), ())
        wait(thread, EXECUTIVE, [waited])
