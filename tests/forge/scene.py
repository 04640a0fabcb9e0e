"""A scene: a machine made up from the functions that stand on its stacks, for crashes that have no printed addresses.

scene = Scene(19041, {"nt": ("ntoskrnl.exe", 0xFFFFF80370000000), "bad": ("bad.sys", 0xFFFFF80381000000)})
scene.define("nt!ExFreePoolWithTag", frame=0x68, at=0x9)
machine = scene.open()
stack = KernelStack(machine, 0xFFFFF58A12340000)
scene.enter(stack, ["nt!KiStartSystemThread", "bad!Worker", "nt!ExFreePoolWithTag"])
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from dumpkit.symbols.types import Type

from tests.forge.assembly import Code
from tests.forge.image import Image
from tests.forge.image_sections import DATA, PDATA, RDATA, RELOC, TEXT
from tests.forge.image_tables import CodeView
from tests.forge.kernel_variables import label_variables, set_build
from tests.forge.machine import Machine
from tests.forge.memory import PhysicalPages
from tests.forge.modules import add_loaded_modules
from tests.forge.objects import ObjectManager
from tests.forge.pdb import Pdb
from tests.forge.process import add_process
from tests.forge.processor import Processor, add_processor, set_idle
from tests.forge.stack import KernelStack
from tests.forge.structure import Structure
from tests.forge.thread import add_thread, run
from tests.forge.unwind import Alloc

#: name -> (frame in bytes, offset behind its call): every scene has these.
COMMON = {
    "KeBugCheckEx": (0x28, 0x20), "KiSwapContext": (0x138, 0x76), "KiSwapThread": (0xA8, 0x500),
    "KiCommitThreadWait": (0xA8, 0x14F), "KeWaitForSingleObject": (0xF8, 0x233), "KiStartSystemThread": (0x28, 0x28),
    "PspSystemThreadStartup": (0x48, 0x55), "KiIdleLoop": (0x28, 0x9E), "PoIdle": (0x118, 0x3C0),
    "ExpWorkerThread": (0x108, 0x105),
}  # fmt: skip
_TEXT, _TEXT_SIZE, _RDATA, _PDATA, _DATA = 0x1000, 0x1F000, 0x20000, 0x22000, 0x24000


class Place(NamedTuple):
    """A function on stacks: virtual address, bytes of frame, offset behind its call."""

    address: int
    frame: int
    at: int


class Scene:
    """Images by the debugger's name -> (file name, base); the first is the kernel."""

    def __init__(self, build: int, images: Mapping[str, Tuple[str, int]], self_map: int = 0x1ED) -> None:
        self.build, self.self_map = build, self_map
        self.places: Dict[str, Place] = {}
        self.images = {name: self._image(number, *images[name]) for number, name in enumerate(images)}
        for name, (frame, at) in COMMON.items():
            self.define(f"nt!{name}", frame, at)
        self.machine: Optional[Machine] = None
        #: Types of the kernel's beside those that the layouts have.
        self.types: List[Type] = []

    def _image(self, number: int, file: str, base: int) -> Image:
        image = Image(file, base, 0x60000000 + number * 0x1234567, size=0x150000 if not number else 0)
        image.section(".text", TEXT, _TEXT, _TEXT_SIZE)
        image.section(".rdata", RDATA, _RDATA, 0x2000)
        image.section(".pdata", PDATA, _PDATA, 0x1000)
        if not number:
            image.section(".data", DATA, _DATA, 0x100000)
            label_variables(image, {}, _DATA, self.build)
        image.section(".reloc", RELOC, 0x130000 if not number else _DATA, 0x1000)
        stem = "ntkrnlmp" if not number else file.rsplit(".", 1)[0]
        image.set_codeview(CodeView(f"{stem}.pdb", f"F0D6E00000000000{self.build:08X}{number:08X}"))
        return image

    def define(self, symbol: str, frame: int = 0x48, at: int = 0x40) -> None:
        """A function "module!name" with a frame of `frame` bytes, whose call returns at offset `at`."""
        module, _, name = symbol.partition("!")
        image = self.images[module]
        code = Code().prologue(Alloc(frame)).nop_to(at - 2).hex("ffd0").nop(8)
        image.function(name, code.epilogue())
        self.places[symbol] = Place(image.base + image.rva_of(name), frame, at)

    def open(self) -> Machine:
        """The machine, with images, modules and variables; no functions can be defined any more."""
        machine = self.machine = Machine(self.build, self.self_map, 0xFFFF_A08F_1000_0000, PhysicalPages(0x1AD))
        for image in self.images.values():
            folder = "\\SystemRoot\\system32\\" + ("drivers\\" if machine.images else "")
            machine.load(image, folder + image.name)
        machine.link(machine.address("PsActiveProcessHead"), ())
        machine.link(machine.address("ExpSystemResourcesList"), ())
        add_loaded_modules(machine)
        lab = f"{self.build}.1.amd64fre.vb_release.191206-1406"
        set_build(machine, lab, lab)
        self.objects = ObjectManager(machine)
        self.system = add_process(machine, "System", 4, None, self.objects)
        machine.set_global("PsInitialSystemProcess", self.system)
        self.idle_process = add_process(machine, "Idle", 0, machine.address("KiInitialProcess"), listed=False)
        machine.set_global("PsIdleProcess", self.idle_process)
        return machine

    def return_into(self, symbol: str) -> int:
        """The virtual address behind a function's call."""
        return self.places[symbol].address + self.places[symbol].at

    def enter(self, stack: KernelStack, symbols: Sequence[str]) -> int:
        """Call functions, the outermost first; RSP in the body of the last."""
        caller = 0
        for symbol in symbols:
            stack.call(caller, self.places[symbol].frame)
            caller = self.return_into(symbol)
        return stack.rsp

    def bugcheck(self, stack: KernelStack, symbols: Sequence[str]) -> Dict[str, int]:
        """As `enter`, and the last function calls KeBugCheckEx: the registers at its start."""
        self.enter(stack, symbols)
        assert self.machine is not None
        stack.rsp -= 8
        self.machine.put_u64(stack.rsp, self.return_into(symbols[-1]))
        return {"rip": self.places["nt!KeBugCheckEx"].address, "rsp": stack.rsp}

    def idle_processor(self, number: int, pcr: int, stack_base: int) -> Processor:
        """A processor that idles, with its idle thread."""
        assert self.machine is not None
        stack = KernelStack(self.machine, stack_base, mapped=0x2000)
        self.enter(stack, ["nt!KiIdleLoop", "nt!PoIdle"])
        registers = {"rip": self.return_into("nt!PoIdle"), "rsp": stack.rsp}
        return self.processor(number, pcr, registers, stack)

    def processor(
        self, number: int, pcr: int, registers: Mapping[str, int], idle: KernelStack, irql: int = 0
    ) -> Processor:
        """A processor with these registers; its idle thread has the stack `idle` and runs until another is said to."""
        assert self.machine is not None
        processor = add_processor(self.machine, number, pcr, registers, irql=irql)
        thread = add_thread(self.machine, self.idle_process, 0, idle, objects=self.objects, priority=0)
        set_idle(processor, thread)
        run(thread, processor)
        return processor

    def waiting_thread(self, tid: int, stack_base: int, symbols: Sequence[str] = (), **facts: int) -> Structure:
        """A system thread that waits in KeWaitForSingleObject, called by the last of `symbols`; see `thread.wait`."""
        assert self.machine is not None
        stack = KernelStack(self.machine, stack_base, mapped=0x2000)
        outer = ["nt!KiStartSystemThread", "nt!PspSystemThreadStartup", *(symbols or ["nt!ExpWorkerThread"])]
        waiting = ["nt!KeWaitForSingleObject", "nt!KiCommitThreadWait", "nt!KiSwapThread", "nt!KiSwapContext"]
        self.enter(stack, [*outer, *waiting])
        stack.switch_out(self.return_into("nt!KiSwapContext"))
        start = self.places[outer[2]].address
        return add_thread(self.machine, self.system, tid, stack, None, self.objects, start=start, **facts)

    def symbols(self) -> List[Pdb]:
        """The PDBs of the images; the kernel's has the types of its Windows."""
        assert self.machine is not None
        layouts = self.machine.layouts
        types = [*(layouts.type(name) for name in layouts), *self.types]
        return [Pdb(image, types if name == "nt" else [], private=False) for name, image in self.images.items()]


def write_example(folder: Path, machine: Machine, pdbs: Sequence[Pdb]) -> None:
    """Write MEMORY.DMP (type 6) and the symbol store symbols/ into a folder."""
    machine.save(folder / "MEMORY.DMP", 6)
    for pdb in pdbs:
        place = folder / "symbols" / pdb.name / pdb.store_key
        place.mkdir(parents=True, exist_ok=True)
        (place / pdb.name).write_bytes(pdb.file())
