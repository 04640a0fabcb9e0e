"""A crash that is told as it happened: functions are entered, a trap comes, handlers run, and KeBugCheckEx ends it.

world = CrashWorld(19041, ["bad"])
world.function("bad!CallNull", "33c0ffd0")
world.open()
world.enter(["nt!KiStartSystemThread", "nt!PspSystemThreadStartup", "bad!CallNull"])
world.call(world.address("bad!CallNull") + 8)
world.trap("nt!KiPageFault", 0)
world.enter(["nt!KiBugCheckDispatch"])
world.die(0xD1, 0, 2, 8, 0)
"""

from __future__ import annotations

from pathlib import Path
from struct import pack_into
from typing import List, Optional, Sequence, Tuple

from dumpkit.dump import open_dump
from dumpkit.kernel.analysis.crash_analysis import CrashAnalysis, analyze_crash

from tests.forge.assembly import Code
from tests.forge.kernel_variables import add_debugger_data, set_bugcheck
from tests.forge.machine import Machine
from tests.forge.pdb import Pdb
from tests.forge.processor import Processor, context_record
from tests.forge.scene import Place, Scene
from tests.forge.shared_data import add_shared_data
from tests.forge.stack import KernelStack
from tests.forge.structure import Structure
from tests.forge.thread import add_thread, run
from tests.forge.unwind import Alloc, MachineFrame, Push
from tests.running import run_lines, session_on

TIME, UPTIME = 133461753454550000, 12345678900
STACK, FIRST_DRIVER = 0xFFFFFE8012340000, 0xFFFFF80241000000
#: The outermost functions of a system thread.
SYSTEM_THREAD = ("nt!KiStartSystemThread", "nt!PspSystemThreadStartup")
#: Handlers -> bytes of their frames.
_HANDLERS = {
    "nt!KiBugCheckDispatch": 0x138,
    "nt!KiExceptionDispatch": 0x138,
    "nt!KiDispatchException": 0xA08,
    "nt!KiFastFailDispatch": 0x138,
}
#: Traps -> whether the processor pushes an error code.
_TRAPS = {
    "nt!KiPageFault": True,
    "nt!KiDoubleFaultAbort": True,
    "nt!KiRaiseSecurityCheckFailure": False,
    "nt!KiInterruptDispatchNoLockNoEtw": False,
}
_POINTERS, _RECORD, _CONTEXT = 0x50, 0x80, 0x200


def exception_record(code: int, address: int, parameters: Sequence[int], flags: int = 0) -> bytes:
    """An EXCEPTION_RECORD (winnt.h)."""
    record = bytearray(0x98)
    pack_into("<IIQQI", record, 0, code, flags, 0, address, len(parameters))
    pack_into(f"<{len(parameters)}Q", record, 0x20, *parameters)
    return bytes(record)


class CrashWorld:
    """A machine on its way into a crash: the kernel, drivers by their names, and some processors."""

    def __init__(self, build: int, drivers: Sequence[str] = ("bad",), processors: int = 1) -> None:
        bases = {"nt": ("ntoskrnl.exe", 0xFFFFF80230000000)}
        bases.update({name: (f"{name}.sys", FIRST_DRIVER + 0x1000000 * n) for n, name in enumerate(drivers)})
        self.scene = Scene(build, bases, self_map=0x1E4)
        self.processor_count = processors
        self.processors: List[Processor] = []
        for handler, frame in _HANDLERS.items():
            self.scene.define(handler, frame)
        for name, has_error_code in _TRAPS.items():
            self.trap_handler(name, has_error_code)
        self._caller = 0

    # --- Before it runs --------------------------------------------------------

    def trap_handler(self, symbol: str, has_error_code: bool = False) -> None:
        """A handler that begins by saving a trap frame."""
        allocation = Alloc(0x158 if has_error_code else 0x160)
        code = Code().prologue(MachineFrame(has_error_code), Push("rbp"), allocation)
        self._place(symbol, code, 0, 0x40)

    def function(
        self, symbol: str, body: str = "", frame: int = 0x48, at: int = 0x40, behind: str = "", **facts: object
    ) -> None:
        """A function whose body begins with these bytes (hexadecimal) and whose call returns at offset `at`; `behind`
        are the bytes there."""
        self._place(symbol, Code().prologue(Alloc(frame)).hex(body), frame, at, behind, **facts)

    def _place(self, symbol: str, code: Code, frame: int, at: int, behind: str = "", **facts: object) -> None:
        module, _, name = symbol.partition("!")
        image = self.scene.images[module]
        image.function(name, code.nop_to(at - 2).hex("ffd0").hex(behind).nop(8).epilogue(), **facts)
        self.scene.places[symbol] = Place(image.base + image.rva_of(name), frame, at)

    def open(self, stack: int = STACK, size: int = 0x7000) -> Machine:
        """The machine; functions can no longer be added."""
        self.machine = self.scene.open()
        self.stack = KernelStack(self.machine, stack, size)
        return self.machine

    def address(self, symbol: str) -> int:
        """Where a function begins."""
        return self.scene.places[symbol].address

    # --- What happens ----------------------------------------------------------

    def enter(self, symbols: Sequence[str]) -> None:
        """Call functions, one from the other, the first from the one that stands innermost."""
        for symbol in symbols:
            self.stack.call(self._caller, self.scene.places[symbol].frame)
            self._caller = self.scene.return_into(symbol)

    def call(self, return_address: Optional[int] = None) -> None:
        """Push a return address, as a call does that goes nowhere; by default that of the innermost function."""
        self.stack.rsp -= 8
        self.machine.put_u64(self.stack.rsp, self._caller if return_address is None else return_address)

    def trap(self, handler: str, instruction: int, **registers: int) -> Structure:
        """A trap or an interrupt at an instruction: its trap frame."""
        before = self.stack.rsp
        frame = self.stack.trap({"Rip": instruction, "Rsp": before, "EFlags": 0x10202, **registers})
        self._caller = self.scene.return_into(handler)
        return frame

    def dispatch(self, code: int, instruction: int, *parameters: int) -> Tuple[int, int, int]:
        """Dispatch the exception that a trap became: where EXCEPTION_POINTERS, record and CONTEXT lie."""
        stack = self.stack.rsp + self.machine.layouts.size("_KTRAP_FRAME")
        self.enter(["nt!KiExceptionDispatch", "nt!KiDispatchException"])
        pointers, record, context = (self.stack.rsp + offset for offset in (_POINTERS, _RECORD, _CONTEXT))
        registers = {"rip": instruction, "rsp": self.machine.u64(stack - 0x10), "cs": 0x10, "ss": 0x18}
        self.machine.put(record, exception_record(code, instruction, parameters))
        self.machine.put(context, context_record(registers))
        self.machine.put_u64(pointers, record, context)
        return pointers, record, context

    def die(
        self,
        code: int,
        *parameters: int,
        irql: int = 2,
        process: Optional[Structure] = None,
        stack: Optional[KernelStack] = None,
        processor: int = 0,
    ) -> None:
        """The innermost function calls KeBugCheckEx. `stack` is the thread's own, where it left that."""
        machine, scene = self.machine, self.scene
        self.call()
        registers = {"rip": scene.places["nt!KeBugCheckEx"].address, "rsp": self.stack.rsp, "rbp": 0}
        machine.put_u64(self.stack.rsp + 8, *[code, *parameters, 0, 0, 0][:4])
        machine.crash_processor = processor
        for number in range(self.processor_count):
            block, base = 0xFFFFAB0150000000 + number * 0x20000, 0xFFFFFE8011000000 + number * 0x10000
            if number == processor:
                idle = KernelStack(machine, base, mapped=0x1000)
                self.processors.append(scene.processor(number, block, registers, idle, irql=irql))
            else:
                self.processors.append(scene.idle_processor(number, block, base))
        self.thread = add_thread(machine, process or scene.system, 0x1234, stack or self.stack, None, scene.objects)
        run(self.thread, self.processors[processor])
        add_shared_data(machine, TIME, UPTIME, self.processor_count)
        add_debugger_data(machine)
        machine.header.update(processors=self.processor_count, context=context_record(registers))
        machine.header.update(exception_address=registers["rip"], exception_code=0x80000003, secondary_data_state=0)
        set_bugcheck(machine, code, *parameters)

    # --- What comes out --------------------------------------------------------

    def write(self, folder: Path, dump_type: int = 6, without: Sequence[str] = ()) -> Tuple[Path, Path]:
        """Write the dump and a store with the PDBs of all images but those named `without`; both their paths."""
        dump, store = folder / "MEMORY.DMP", folder / "symbols"
        self.machine.save(dump, dump_type)
        store.mkdir()
        for name, pdb in zip(self.scene.images, self.scene.symbols()):
            if name not in without:
                _write(store, pdb)
        return dump, store


def _write(store: Path, pdb: Pdb) -> None:
    place = store / pdb.name / pdb.store_key
    place.mkdir(parents=True)
    (place / pdb.name).write_bytes(pdb.file())


def analysed(world: CrashWorld, folder: Path, dump_type: int = 6, symbols: bool = True) -> CrashAnalysis:
    """The analysis of a crash, from a dump that is written into a folder."""
    dump, store = world.write(folder, dump_type)
    target = open_dump(str(dump), symbol_path=str(store) if symbols else "", offline=True)
    try:
        bugcheck = target.bugcheck
        assert bugcheck is not None
        return analyze_crash(target, bugcheck.code, bugcheck.parameters)
    finally:
        target.close()


def shown(world: CrashWorld, folder: Path, command: str, dump_type: int = 6) -> List[str]:
    """The lines that a command shows of a crash."""
    dump, store = world.write(folder, dump_type)
    target = open_dump(str(dump), symbol_path=str(store), offline=True)
    try:
        return run_lines(session_on(target), command)
    finally:
        target.close()
