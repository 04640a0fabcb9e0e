"""A forged crash that every bugcheck can be told of: the structures that arguments point to exist.

bad.sys touches memory that is not there, on the thread that crashes; slow.sys waits on another thread, spins on another
processor and has an IRP; gpu.sys is named by arguments only.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from struct import pack_into
from typing import Dict, List, NamedTuple, Sequence, Tuple

from tests.forge.assembly import Code
from tests.forge.image_sections import PAGE
from tests.forge.io import StackLocation, add_device, add_driver, add_irp
from tests.forge.kernel_variables import add_debugger_data, set_bugcheck
from tests.forge.machine import Machine
from tests.forge.modules import Unloaded, add_unloaded_modules
from tests.forge.pdb import Pdb
from tests.forge.processor import context_record
from tests.forge.scene import Place, Scene
from tests.forge.shared_data import add_shared_data
from tests.forge.stack import KernelStack
from tests.forge.sync import add_event
from tests.forge.thread import add_thread, run, wait
from tests.forge.unwind import Alloc, MachineFrame, Push

BUILD = 19041
TIME, UPTIME = 133461753454550000, 12345678900
BASES = {
    "nt": ("ntoskrnl.exe", 0xFFFFF80230000000),
    "bad": ("bad.sys", 0xFFFFF80241000000),
    "slow": ("slow.sys", 0xFFFFF80242000000),
    "gpu": ("gpu.sys", 0xFFFFF80243000000),
}
#: A function of bad.sys that may be paged out.
PAGED = 0xFFFFF80241026000
#: An address in an image that is gone.
GONE = 0xFFFFF80250001230
FAULT_ADDRESS = 0xFFFFA08F99990010
ACCESS_VIOLATION = 0xC0000005
_STACK, _BASES_OF_STACKS = 0xFFFFFE8012340000, 0xFFFFFE8013000000
#: Handlers from the trap to KeBugCheckEx, outermost first, with their frames in bytes.
_HANDLERS = (("nt!KiExceptionDispatch", 0x138), ("nt!KiDispatchException", 0xA08))
_POINTERS, _RECORD, _CONTEXT = 0x50, 0x80, 0x200


class Crash(NamedTuple):
    """A machine at its crash, its PDBs, and what the arguments of bugchecks may name."""

    machine: Machine
    pdbs: List[Pdb]
    #: "IP", "TF", "CX", "ER", "EP", "THR", "IRP", "DEV", "GPU", "NAME", "ROUTINE", "ADDR" -> value.
    names: Dict[str, int]

    def parameters(self, words: Sequence[str]) -> Tuple[int, ...]:
        """Four arguments: names of `names`, or hexadecimal numbers."""
        return tuple(self.names[word] if word in self.names else int(word, 16) for word in words)

    def dump(self, code: int, parameters: Sequence[int], dump_type: int = 6) -> bytes:
        """The dump of this machine for a bugcheck."""
        set_bugcheck(self.machine, code, *parameters)
        return self.machine.dump(dump_type)

    def write_symbols(self, folder: Path) -> Path:
        """Write the PDBs into a store; its folder."""
        for pdb in self.pdbs:
            place = folder / pdb.name / pdb.store_key
            place.mkdir(parents=True, exist_ok=True)
            (place / pdb.name).write_bytes(pdb.file())
        return folder


def _record(code: int, address: int, *parameters: int) -> bytes:
    record = bytearray(0x98)
    pack_into("<IIQQI", record, 0, code, 0, 0, address, len(parameters))
    pack_into(f"<{len(parameters)}Q", record, 0x20, *parameters)
    return bytes(record)


def _define(scene: Scene) -> None:
    scene.images["bad"].section("PAGE", PAGE, PAGED - BASES["bad"][1], 0x1000)
    scene.images["bad"].function("Paged", Code().nop(8).ret(), PAGED - BASES["bad"][1])
    trap = Code().prologue(MachineFrame(True), Push("rbp"), Alloc(0x158)).nop_to(0x3E).hex("ffd0").nop(8)
    scene.images["nt"].function("KiPageFault", trap)
    scene.places["nt!KiPageFault"] = Place(scene.images["nt"].base + scene.images["nt"].rva_of("KiPageFault"), 0, 0x40)
    for name, frame in _HANDLERS:
        scene.define(name, frame)
    for name in ("nt!IopInvalidDeviceRequest", "nt!KeStallExecutionProcessor", "bad!Worker", "bad!Touch"):
        scene.define(name)
    for name in ("slow!Dispatch", "slow!Worker", "slow!Spin", "gpu!Render"):
        scene.define(name)


@cache
def crash(fault_at: int = 0) -> Crash:
    """The crash; the instruction that faulted is at `fault_at`, or in bad!Touch where that is 0."""
    scene = Scene(BUILD, BASES, self_map=0x1E4)
    _define(scene)
    machine = scene.open()
    add_unloaded_modules(machine, [Unloaded(GONE & ~0xFFFF, (GONE & ~0xFFFF) + 0x8000, "gone.sys", TIME)])
    stack = KernelStack(machine, _STACK)
    scene.enter(stack, ["nt!KiStartSystemThread", "nt!PspSystemThreadStartup", "bad!Worker", "bad!Touch"])
    instruction = fault_at or scene.places["bad!Touch"].address + 0x10
    if fault_at:
        # The image that is gone was called from bad.sys.
        stack.call(scene.return_into("bad!Touch"), 0)
    registers = {"rip": instruction, "rsp": stack.rsp, "rbp": 0, "rcx": FAULT_ADDRESS, "efl": 0x10202}
    trap = stack.trap({"Rip": instruction, "Rsp": stack.rsp, "Rcx": FAULT_ADDRESS, "EFlags": 0x10202})
    caller = "nt!KiPageFault"
    for name, frame in _HANDLERS:
        stack.call(scene.return_into(caller), frame)
        caller = name
    pointers, record, context = (stack.rsp + offset for offset in (_POINTERS, _RECORD, _CONTEXT))
    machine.put(record, _record(ACCESS_VIOLATION, instruction, 1, FAULT_ADDRESS))
    machine.put(context, context_record({**registers, "cs": 0x10, "ss": 0x18}))
    machine.put_u64(pointers, record, context)
    stack.rsp -= 8
    machine.put_u64(stack.rsp, scene.return_into(caller))
    crashed = {"rip": scene.places["nt!KeBugCheckEx"].address, "rsp": stack.rsp, "rbp": 0}
    processor = scene.processor(0, 0xFFFFF8022E5E1000, crashed, stack, irql=2)
    thread = add_thread(machine, scene.system, 0x1234, stack, None, scene.objects)
    run(thread, processor)
    spinning = KernelStack(machine, _BASES_OF_STACKS, mapped=0x2000)
    scene.enter(spinning, ["nt!KiIdleLoop", "slow!Spin"])
    there = {"rip": scene.return_into("slow!Spin"), "rsp": spinning.rsp, "rbp": 0}
    prcb = scene.processor(1, 0xFFFFAB0154A80000, there, spinning, irql=2).prcb
    waiting = scene.waiting_thread(0x8C4, _BASES_OF_STACKS + 0x100000, ["slow!Worker"])
    wait(waiting, 0, [add_event(machine)])
    names = {
        "IP": instruction,
        "ADDR": FAULT_ADDRESS,
        "TF": trap.address,
        "CX": context,
        "ER": record,
        "EP": pointers,
        "THR": waiting.address,
        "PRCB": prcb.address,
        "GPU": scene.places["gpu!Render"].address + 8,
        "ROUTINE": scene.places["slow!Worker"].address,
        "NAME": _name(machine, "\\SystemRoot\\System32\\drivers\\gpu.sys"),
        "PROC": int(scene.system),
        **_request(machine, scene),
    }
    _describe(machine, crashed)
    return Crash(machine, scene.symbols(), names)


def _name(machine: Machine, text: str) -> int:
    place = machine.allocate(0x10)
    machine.put(place, machine.counted_string(text))
    return place


def _request(machine: Machine, scene: Scene) -> Dict[str, int]:
    """An IRP that is with slow.sys."""
    default = scene.places["nt!IopInvalidDeviceRequest"].address
    image = scene.images["slow"]
    routine = scene.places["slow!Dispatch"].address
    driver = add_driver(machine, scene.objects, "\\Driver\\slow", image.base, image.size, {0x16: routine}, default)
    device = add_device(machine, scene.objects, driver, 0x22, "SlowDevice")
    irp = add_irp(machine, None, [StackLocation(0x16, device, minor=2, control=1), StackLocation(0)], 1)
    return {"DEV": device.address, "DRV": driver.address, "IRP": irp.address}


def _describe(machine: Machine, registers: Dict[str, int]) -> None:
    add_shared_data(machine, TIME, UPTIME, 2)
    add_debugger_data(machine)
    machine.header.update(processors=2, context=context_record(registers), exception_code=0x80000003)
    machine.header.update(exception_address=registers["rip"], secondary_data_state=0)
