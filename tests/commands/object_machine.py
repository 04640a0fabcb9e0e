"""A machine with drivers, devices, files, requests, directories, keys and handles, for the commands that show them."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Tuple

from tests.forge.io import StackLocation, add_device, add_driver, add_file, add_irp
from tests.forge.kernel_variables import add_debugger_data, set_bugcheck
from tests.forge.machine import Machine
from tests.forge.namespace import Entry, Namespace, add_handle_table, add_key
from tests.forge.pdb import Pdb
from tests.forge.process import add_process
from tests.forge.processor import Processor, context_record
from tests.forge.scene import Scene
from tests.forge.shared_data import add_shared_data
from tests.forge.stack import KernelStack
from tests.forge.structure import Structure
from tests.forge.thread import run

BASES = {
    "nt": ("ntoskrnl.exe", 0xFFFFF80230000000),
    "disk": ("disk.sys", 0xFFFFF80233000000),
    "npfs": ("npfs.sys", 0xFFFFF80241C00000),
}
CRASH_TIME, UPTIME = 133461753454550000, 12345678900


class Made(NamedTuple):
    """The machine, its scene, and what is in it, by name."""

    machine: Machine
    scene: Scene
    processors: Tuple[Processor, ...]
    parts: Dict[str, Structure]

    def symbols(self) -> List[Pdb]:
        return self.scene.symbols()


def make(build: int = 19041) -> Made:
    """The machine on a build of Windows."""
    scene = Scene(build, BASES)
    for symbol in ("nt!IopInvalidDeviceRequest", "disk!DiskDispatch", "npfs!NpFsdRead", "npfs!NpCompletion"):
        scene.define(symbol)
    scene.define("nt!PpmPerfAction")
    scene.define("nt!KiDpcWatchdog")
    machine = scene.open()
    parts = _objects(machine, scene)
    stack = KernelStack(machine, 0xFFFFFE8012340000)
    registers = scene.bugcheck(stack, ["nt!KiIdleLoop"])
    idle = [
        scene.processor(0, 0xFFFFF8022E5E1000, registers, stack, irql=2),
        scene.idle_processor(1, 0xFFFFAB0154A80000, 0xFFFFFE8011010000),
    ]
    _requests(machine, scene, parts, idle[0])
    add_shared_data(machine, CRASH_TIME, UPTIME, 2)
    add_debugger_data(machine)
    set_bugcheck(machine, 0xE2)
    machine.header.update(processors=2, context=context_record(registers), exception_code=0x80000003)
    machine.header.update(exception_address=registers["rip"])
    return Made(machine, scene, tuple(idle), parts)


def _objects(machine: Machine, scene: Scene) -> Dict[str, Structure]:
    objects = scene.objects
    default = scene.places["nt!IopInvalidDeviceRequest"].address
    disk_code, pipe_code = scene.images["disk"], scene.images["npfs"]
    namespace = Namespace(objects)
    disk = add_driver(
        machine, objects, "\\Driver\\disk", disk_code.base, disk_code.size,
        {3: scene.places["disk!DiskDispatch"].address}, default, unload=scene.places["disk!DiskDispatch"].address,
    )  # fmt: skip
    npfs = add_driver(
        machine, objects, "\\FileSystem\\Npfs", pipe_code.base, pipe_code.size,
        {3: scene.places["npfs!NpFsdRead"].address}, default,
    )  # fmt: skip
    low = add_device(machine, objects, disk, 7, "DR0", extension_size=0x40)
    high = add_device(machine, objects, npfs, 0x11, None, attached_to=low, stack_size=2)
    pipe = add_device(machine, objects, npfs, 0x11, "NamedPipe")
    node = machine.place("_DEVICE_NODE")
    node.set({"InstancePath": "SCSI\\Disk&Ven_Forged\\4&1", "ServiceName": "disk", "PhysicalDeviceObject": low})
    machine.view("_DEVOBJ_EXTENSION", low["DeviceObjectExtension"]).set({"DeviceNode": node, "ExtensionFlags": 0x810})
    low["Characteristics"] = 0x181
    event = objects.create("_KEVENT", "Event", "Ready")
    namespace.enter("\\Driver", disk)
    namespace.enter("\\FileSystem", npfs)
    namespace.enter("\\Device", low)
    namespace.enter("\\Device", pipe)
    namespace.enter("\\BaseNamedObjects", event)
    link = namespace.link("\\GLOBAL??", "Disk0", "\\Device\\DR0")
    file = add_file(machine, objects, low, "\\Temp\\x.txt", access="rw")
    relative = add_file(machine, objects, low, "y.txt")
    relative["RelatedFileObject"] = file
    key = add_key(machine, objects, "\\REGISTRY\\MACHINE\\SYSTEM")
    return {
        "disk": disk, "npfs": npfs, "low": low, "high": high, "pipe": pipe, "node": node, "event": event, "link": link,
        "file": file, "relative": relative, "key": key, "device directory": namespace.directory("\\Device"),
        "named objects": namespace.directory("\\BaseNamedObjects"),
    }  # fmt: skip


def _requests(machine: Machine, scene: Scene, parts: Dict[str, Structure], processor: Processor) -> None:
    """Two processes with handles, and a thread with a request, which runs."""
    objects = scene.objects
    user = add_process(machine, "forged.exe", 0x144, None, objects, parent=4)
    parts["thread"] = thread = scene.waiting_thread(0x8C4, 0xFFFFFE8013100000)
    parts["user"], parts["system"] = user, scene.system
    completion = scene.places["npfs!NpCompletion"].address
    locations = [
        StackLocation(3, parts["low"], parts["file"], 0, 0x2, 0xE1, completion, 0xFFFFA08F00001230),
        StackLocation(0xE, parts["high"], parts["file"], 0, 5, 0xE0),
        StackLocation(0),
    ]
    parts["irp"] = irp = add_irp(machine, thread, locations, 1)
    place = machine.view("_IO_STACK_LOCATION", irp["Tail.Overlay.CurrentStackLocation"])
    machine.put_u64(place.at("Parameters"), 0x1000, 0, 0x116B2963C70, 0)
    size = machine.layouts.size("_IO_STACK_LOCATION")
    machine.put_u64(place.at("Parameters") + size, 0x10C, 0, 0x226000, 0)
    handles = {4: Entry(user, 0x1FFFFF), 8: Entry(parts["event"], 0x1F0003, 3), 0xC: Entry(parts["key"], 0x20019, 4)}
    handles[0x10] = Entry(parts["file"], 0x12019F)
    parts["table"] = add_handle_table(objects, handles, user)
    kernel = {4: Entry(scene.system, 0x1FFFFF), 0x7AC: Entry(parts["file"], 3)}
    parts["kernel table"] = add_handle_table(objects, kernel, scene.system, level=1)
    machine.set_global("ObpKernelHandleTable", parts["kernel table"])
    ids = {4: Entry(scene.system, 0), 0x144: Entry(user, 0), 0x8C4: Entry(thread, 0)}
    machine.set_global("PspCidTable", add_handle_table(objects, ids, level=2, bare=True))
    runner = scene.waiting_thread(0x8C8, 0xFFFFFE8013200000)
    runner["Tcb.ApcState.Process"] = runner["Tcb.Process"] = user.address
    run(runner, processor)
    parts["runner"] = runner
