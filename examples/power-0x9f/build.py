"""Writes the dump and the symbol store of this example beside this file: python examples/power-0x9f/build.py"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List, Tuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.forge.io import StackLocation, add_device, add_driver, add_irp  # noqa: E402
from tests.forge.kernel_variables import add_debugger_data, set_bugcheck  # noqa: E402
from tests.forge.machine import Machine  # noqa: E402
from tests.forge.namespace import Entry, add_handle_table, add_namespace  # noqa: E402
from tests.forge.pdb import Pdb  # noqa: E402
from tests.forge.processor import context_record  # noqa: E402
from tests.forge.scene import Scene, write_example  # noqa: E402
from tests.forge.shared_data import add_shared_data  # noqa: E402
from tests.forge.stack import KernelStack  # noqa: E402
from tests.forge.structure import Structure  # noqa: E402
from tests.forge.sync import add_event, add_mutant  # noqa: E402
from tests.forge.tagged import PROCESSOR_KEY, SMBIOS, processor_key, smbios  # noqa: E402
from tests.forge.thread import wait  # noqa: E402

BASES = {
    "nt": ("ntoskrnl.exe", 0xFFFFF80230000000),
    "pci": ("pci.sys", 0xFFFFF80233000000),
    "slowdisk": ("slowdisk.sys", 0xFFFFF80241C00000),
}
CRASH_TIME, UPTIME = 133461753454550000, 12345678900
PROCESSOR_NAME = "Intel(R) Core(TM) i5-8265U CPU @ 1.60GHz"
POWER, SET_POWER, DEVICE_POWER_STATE, D3 = 0x16, 2, 1, 4
PENDING = 1
#: The watchdog's timer on the idle loop, innermost first.
CALLS = [
    ("nt!PopIrpWatchdogBugcheck", 0x38, 0xF2),
    ("nt!PopIrpWatchdog", 0x48, 0x22),
    ("nt!KiProcessExpiredTimerList", 0xE8, 0x172),
    ("nt!KiRetireDpcList", 0x318, 0x5DD),
]
#: What the driver's worker does, outermost first.
DRIVER_CALLS = [("slowdisk!FlushWorker", 0x68, 0x91), ("slowdisk!WaitForHardware", 0x38, 0x4A)]


def _power_request(machine: Machine, scene: Scene) -> Tuple[Structure, Structure]:
    """(the device below, the request): slowdisk marked it pending and never passed it on."""
    pci, slow = scene.images["pci"], scene.images["slowdisk"]
    power = scene.places["slowdisk!DispatchPower"].address
    default = scene.places["nt!IopInvalidDeviceRequest"].address
    bus = add_driver(machine, scene.objects, "\\Driver\\pci", pci.base, pci.size, {}, default)
    disk = add_driver(machine, scene.objects, "\\Driver\\slowdisk", slow.base, slow.size, {POWER: power}, default)
    below = add_device(machine, scene.objects, bus, 0x22, "NTPNP_PCI0011")
    above = add_device(machine, scene.objects, disk, 0x7, None, attached_to=below, stack_size=2)
    locations = [StackLocation(0), StackLocation(POWER, above, minor=SET_POWER, control=PENDING), StackLocation(0)]
    irp = add_irp(machine, None, locations, 2)
    place = machine.view("_IO_STACK_LOCATION", irp["Tail.Overlay.CurrentStackLocation"])
    place.set({"Parameters.Power.Type": DEVICE_POWER_STATE, "Parameters.Power.State": D3})
    irp["IoStatus.Status"] = 0xC00000BB
    return below, irp


def build() -> Tuple[Machine, List[Pdb]]:
    """The machine at its crash, and the PDBs of its images."""
    scene = Scene(19041, BASES, self_map=0x1E4)
    for symbol, frame, at in [*CALLS, *DRIVER_CALLS]:
        scene.define(symbol, frame, at)
    scene.define("nt!IopInvalidDeviceRequest")
    scene.define("slowdisk!DispatchPower")
    machine = scene.open()
    below, irp = _power_request(machine, scene)
    triage = machine.place("_TRIAGE_9F_POWER")
    lists = machine.allocate(0x20)
    for head in (lists, lists + 0x10):
        machine.link(head, ())
    triage.set({"Signature": 0x8000, "Revision": 1, "IrpList": lists, "ThreadList": lists + 0x10})
    set_bugcheck(machine, 0x9F, 3, below.address, triage.address, irp.address)

    stack = KernelStack(machine, 0xFFFFFE8012340000)
    registers = scene.bugcheck(stack, ["nt!KiIdleLoop", *(symbol for symbol, _, _ in reversed(CALLS))])
    registers.update(rcx=0x9F, rdx=3, r8=below.address, r9=triage.address)
    scene.processor(0, 0xFFFFF8022E5E1000, registers, stack, irql=2)
    for number, pcr in ((1, 0xFFFFAB0154A80000), (2, 0xFFFFAB0154B91000), (3, 0xFFFFAB0154CA2000)):
        scene.idle_processor(number, pcr, 0xFFFFFE8011000000 + number * 0x10000)

    ticks = UPTIME // 156250
    names = [symbol for symbol, _, _ in DRIVER_CALLS]
    worker = scene.waiting_thread(0x8C4, 0xFFFFFE8013000000, names, wait_time=ticks - 7681, context_switches=42)
    owner = scene.waiting_thread(0x8C8, 0xFFFFFE8013100000, names, wait_time=ticks - 7690)
    wait(worker, 0, [add_mutant(machine, owner)])
    wait(owner, 0, [add_event(machine)])
    namespace = add_namespace(scene.objects)
    handles = {4: Entry(scene.system, 0x1FFFFF, 1), 8: Entry(namespace.root, 0xF000F)}
    machine.set_global("ObpKernelHandleTable", add_handle_table(scene.objects, handles, scene.system))
    add_shared_data(machine, CRASH_TIME, UPTIME, 4)
    add_debugger_data(machine)
    machine.header.update(processors=4, context=context_record(registers), exception_code=0x80000003)
    machine.header.update(exception_address=registers["rip"], secondary_data_state=0)
    machine.tagged += [(SMBIOS, smbios("Forged Systems", "Power Example", PROCESSOR_NAME))]
    machine.tagged += [(PROCESSOR_KEY, processor_key([("ProcessorNameString", PROCESSOR_NAME)]))]
    return machine, scene.symbols()


if __name__ == "__main__":
    write_example(Path(sys.argv[1]) if sys.argv[1:] else HERE, *build())
