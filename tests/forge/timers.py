"""Timers in the processors' tables, and queues of DPCs."""

from __future__ import annotations

from typing import Sequence

from tests.forge.machine import Machine
from tests.forge.processor import Processor
from tests.forge.structure import Structure

_U64 = 0xFFFF_FFFF_FFFF_FFFF
#: KDPC.Type (_KOBJECTS): DpcObject, ThreadedDpcObject.
DPC, THREADED_DPC = 0x13, 0x18


def add_dpc(machine: Machine, routine: int, context: int = 0, threaded: bool = False) -> Structure:
    """A KDPC; not in any queue."""
    dpc = machine.place("_KDPC")
    return dpc.set(
        {
            "Type": THREADED_DPC if threaded else DPC,
            "Importance": 1,
            "DeferredRoutine": routine,
            "DeferredContext": context,
        }
    )


def queue_dpcs(processor: Processor, dpcs: Sequence[Structure], threaded: bool = False) -> None:
    """Make DPCs a processor's queue, in this order."""
    data = f"DpcData[{int(threaded)}]"
    machine = processor.prcb.machine
    place = processor.prcb.at(f"{data}.DpcList.ListHead")
    for dpc in dpcs:
        machine.put_u64(place, dpc.at("DpcListEntry"))
        place = dpc.at("DpcListEntry")
    machine.put_u64(place, 0)
    processor.prcb[f"{data}.DpcList.LastEntry"] = place if dpcs else processor.prcb.at(f"{data}.DpcList.ListHead")
    processor.prcb[f"{data}.DpcQueueDepth"] = len(dpcs)
    processor.prcb[f"{data}.DpcCount"] = 0x1000 + len(dpcs)


def set_keys(machine: Machine, never: int, always: int) -> None:
    """KiWaitNever and KiWaitAlways, which the pointers from timers to DPCs are mixed with."""
    machine.set_global("KiWaitNever", never)
    machine.set_global("KiWaitAlways", always)


def encoded_dpc(machine: Machine, timer: int, dpc: int) -> int:
    """KTIMER.Dpc of a timer at a virtual address: the inverse of what public descriptions of the decoding do."""
    never, always = machine.u64(machine.address("KiWaitNever")), machine.u64(machine.address("KiWaitAlways"))
    value = int.from_bytes((dpc ^ always).to_bytes(8, "little"), "big") ^ timer
    shift = never & 0x3F
    rotated = (value >> shift | value << (64 - shift)) & _U64
    return rotated ^ never


def queue_timer(processor: Processor, timer: Structure, kind: int, hand: int, dpc: int = 0) -> None:
    """Put a KTIMER into a processor's table: `kind` 0 is that of high precision, `hand` its list (0 to 255)."""
    machine = processor.prcb.machine
    head = processor.prcb.at(f"TimerTable.TimerEntries[{kind}][{hand}].Entry")
    machine.append(head, timer.at("TimerListEntry"))
    timer["Processor"] = processor.number
    timer["Dpc"] = encoded_dpc(machine, timer.address, dpc)


def empty_tables(processor: Processor) -> None:
    """Make every list of timers of a processor empty."""
    machine = processor.prcb.machine
    for kind in range(2):
        for hand in range(256):
            machine.link(processor.prcb.at(f"TimerTable.TimerEntries[{kind}][{hand}].Entry"), ())
