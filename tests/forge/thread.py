"""Threads, in every state of KTHREAD_STATE."""

from __future__ import annotations

from typing import Optional, Sequence, Union

from tests.forge.machine import Machine
from tests.forge.objects import ObjectManager
from tests.forge.processor import Processor
from tests.forge.stack import KernelStack
from tests.forge.structure import Structure

INITIALIZED, READY, RUNNING, STANDBY, TERMINATED, WAITING, TRANSITION, DEFERRED_READY = range(8)

_THREAD_OBJECT = 6
_WAIT_ANY = 1
_BLOCK_ACTIVE = 4


def add_thread(
    machine: Machine,
    process: Structure,
    tid: int,
    stack: KernelStack,
    address: Optional[int] = None,
    objects: Optional[ObjectManager] = None,
    *,
    start: int = 0,
    priority: int = 8,
    wait_reason: int = 0,
    wait_time: int = 0,
    context_switches: int = 1,
    kernel_ticks: int = 0,
    user_ticks: int = 0,
    create_time: int = 0,
    teb: int = 0,
) -> Structure:
    """An ETHREAD of a process, initialized: what puts it into another state is below.

    `start` is its start routine, `wait_time` the tick at which it began to wait (or stopped waiting).
    """
    thread = machine.place("_ETHREAD", address) if objects is None else objects.place("_ETHREAD", address)
    for head in (
        "Tcb.MutantListHead", "Tcb.ApcState.ApcListHead[0]", "Tcb.ApcState.ApcListHead[1]", "IrpList",
        "ActiveTimerListHead", "Tcb.Header.WaitListHead",
    ):  # fmt: skip
        machine.link(thread.at(head), ())
    machine.append(process.at("Pcb.ThreadListHead"), thread.at("Tcb.ThreadListEntry"))
    machine.append(process.at("ThreadListHead"), thread.at("ThreadListEntry"))
    process["ActiveThreads"] = process["ActiveThreads"] + 1
    thread.set(
        {
            "Tcb.Header.Type": _THREAD_OBJECT,
            "Tcb.Header.Size": machine.layouts.size("_KTHREAD") // 4 & 0xFF,
            "Tcb.InitialStack": stack.initial,
            "Tcb.StackLimit": stack.limit,
            "Tcb.StackBase": stack.base,
            "Tcb.KernelStack": stack.rsp,
            "Tcb.KernelStackResident": 1,
            "Tcb.ApcState.Process": process,
            "Tcb.Process": process,
            "Tcb.Priority": priority,
            "Tcb.BasePriority": priority,
            "Tcb.WaitReason": wait_reason,
            "Tcb.WaitTime": wait_time,
            "Tcb.ContextSwitches": context_switches,
            "Tcb.KernelTime": kernel_ticks,
            "Tcb.UserTime": user_ticks,
            "Tcb.Teb": teb,
            "Tcb.SystemThread": int(not teb),
            "StartAddress": start,
            "Win32StartAddress": start,
            "CreateTime.QuadPart": create_time,
            "Cid.UniqueProcess": process["UniqueProcessId"],
            "Cid.UniqueThread": tid,
            "ThreadIoPriority": 2,
            "ThreadPagePriority": 5,
        }
    )
    if objects is not None:
        objects.header(thread.address, "Thread", pointers=0x8000, handles=1)
    return thread


def run(thread: Structure, processor: Processor) -> None:
    """Make it the thread that runs on a processor."""
    thread.set({"Tcb.State": RUNNING, "Tcb.NextProcessor": processor.number, "Tcb.Running": 1})
    processor.prcb["CurrentThread"] = thread


def standby(thread: Structure, processor: Processor) -> None:
    """Make it the thread that runs next on a processor."""
    thread.set({"Tcb.State": STANDBY, "Tcb.NextProcessor": processor.number})
    processor.prcb["NextThread"] = thread


def ready(thread: Structure, processor: Processor, shared: Optional[Structure] = None) -> None:
    """Put it into a processor's ready queue, or into the shared one (a _KSHARED_READY_QUEUE)."""
    machine = thread.machine
    priority = thread["Tcb.Priority"]
    thread.set({"Tcb.State": READY, "Tcb.NextProcessor": processor.number})
    if shared is not None:
        head = shared.at(f"ReadyListHead[{priority}]")
        shared["ReadySummary"] = shared["ReadySummary"] | 1 << priority
    else:
        head = processor.prcb.at(f"DispatcherReadyListHead[{priority}]")
        processor.prcb["ReadySummary"] = processor.prcb["ReadySummary"] | 1 << priority
    machine.append(head, thread.at("Tcb.WaitListEntry"))


def wait(
    thread: Structure, reason: int, objects: Sequence[Union[Structure, int]] = (), user_mode: bool = False
) -> None:
    """Make it wait for objects: any dispatcher objects (their headers come first)."""
    machine = thread.machine
    thread.set(
        {
            "Tcb.State": WAITING,
            "Tcb.WaitReason": reason,
            "Tcb.WaitMode": int(user_mode),
            "Tcb.WaitBlockList": thread.at("Tcb.WaitBlock[0]"),
        }
    )
    # Windows 7 and before count none: the blocks are a ring.
    is_ring = "Tcb.WaitBlockCount" not in thread
    if not is_ring:
        thread["Tcb.WaitBlockCount"] = len(objects)
    for index, each in enumerate(objects):
        block = thread.member(f"Tcb.WaitBlock[{index}]")
        block.set(
            {
                "WaitType": _WAIT_ANY,
                "BlockState": _BLOCK_ACTIVE,
                "WaitKey": index,
                "Thread": thread,
                "Object": each,
            }
        )
        if is_ring:
            block["NextWaitBlock"] = thread.at(f"Tcb.WaitBlock[{(index + 1) % len(objects)}]")
        header = machine.view("_DISPATCHER_HEADER", int(each))
        machine.append(header.at("WaitListHead"), block.at("WaitListEntry"))


def terminate(thread: Structure) -> None:
    """End it."""
    thread.set({"Tcb.State": TERMINATED, "Terminated": 1, "Tcb.Header.SignalState": 1})
