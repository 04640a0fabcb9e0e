"""Triage dumps (type 4) of a forged machine: what Windows keeps of one in a minidump."""

from __future__ import annotations

from typing import Iterator, List, Tuple

from tests.forge.header import TRIAGE, build_header
from tests.forge.machine import Machine
from tests.forge.structure import Structure
from tests.forge.triage import Block, Driver, TriageFile, Unloaded, _Layout

#: A minidump holds this much of a stack at most, and these many bytes around each address that the stack names.
_STACK_LIMIT = 0x8000
_CODE_BEFORE, _CODE_BEHIND = 0x100, 0x100
#: Variables that a minidump holds: name -> bytes.
_VARIABLES = {"PsLoadedModuleList": 16, "NtBuildLab": 0x80, "CmNtCSDVersion": 8, "KiBugCheckData": 40, "MmPteBase": 8}


class _MachineLayout(_Layout):
    """The file of a machine's minidump."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        number = machine.crash_processor
        self.prcb = machine.view("_KPRCB", machine.u64(machine.address("KiProcessorBlock") + 8 * number))
        self.thread = machine.view("_ETHREAD", self.prcb["CurrentThread"])
        self.process = machine.view("_EPROCESS", self.thread["Tcb.ApcState.Process"])
        rsp = int.from_bytes(self.context[0x98:0xA0], "little")
        size = min(self.thread["Tcb.StackBase"] - rsp, _STACK_LIMIT)
        self.stack = Block(rsp, machine.read(rsp, size))
        super().__init__(
            TriageFile(
                drivers=[Driver(i.base, i.size, path, i.stamp, i.checksum) for i, path in machine.images],
                unloaded=[Unloaded(start, end, name[:12]) for start, end, name, _ in reversed(machine.unloaded)],
                stack=self.stack,
                blocks=self._blocks(),
            )
        )

    @property
    def context(self) -> bytes:
        record = self.machine.header["context"]
        assert isinstance(record, bytes)
        return record

    def add_crash_processor(self) -> None:
        for place, structure in ((0x1C, self.prcb), (0x20, self.process), (0x24, self.thread)):
            self.set(place, self.append(self._bytes(structure)))
        size = int.from_bytes(self.machine.read(self.machine.address("KdDebuggerDataBlock") + 0x14, 4), "little")
        self.set(0x70, self.append(self.machine.read(self.machine.address("KdDebuggerDataBlock"), size)))
        self.set(0x74, size)

    def build_header(self) -> bytearray:
        fields = {"mini_dump_fields": 0xDFF, **self.machine.header}
        return build_header(TRIAGE, self.machine.root, **fields)  # type: ignore[arg-type]

    def _bytes(self, structure: Structure) -> bytes:
        return self.machine.read(structure.address, structure.size)

    def _blocks(self) -> List[Block]:
        machine = self.machine
        wanted = [(machine.address(name), size) for name, size in _VARIABLES.items()]
        wanted += [*machine.triage_blocks, *self._processors(), *self._code()]
        return [Block(address, machine.read(address, size)) for address, size in _merged(wanted)]

    def _processors(self) -> Iterator[Tuple[int, int]]:
        """KiProcessorBlock, and of every processor its PRCB, its GDT and its thread."""
        machine = self.machine
        count = machine.header["processors"]
        assert isinstance(count, int)
        yield machine.address("KiProcessorBlock"), 8 * count
        for number in range(count):
            prcb = machine.view("_KPRCB", machine.u64(machine.address("KiProcessorBlock") + 8 * number))
            yield prcb.address, prcb.size
            yield prcb["ProcessorState.SpecialRegisters.Gdtr.Base"], 0x60
            yield prcb["CurrentThread"], machine.layouts.size("_ETHREAD")

    def _code(self) -> Iterator[Tuple[int, int]]:
        """The code around RIP and around every word of the stack that lies in an image, as far as it is there."""
        words = [int.from_bytes(self.context[0xF8:0x100], "little")]
        words += [int.from_bytes(self.stack.data[at : at + 8], "little") for at in range(0, len(self.stack.data), 8)]
        for word in words:
            inside = any(image.base <= word < image.base + image.size for image, _ in self.machine.images)
            if inside and self.machine.is_mapped(word):
                start = max(word - _CODE_BEFORE, word & ~0xFFF)
                yield start, min(word + _CODE_BEHIND, (word | 0xFFF) + 1) - start


def _merged(pieces: List[Tuple[int, int]]) -> Iterator[Tuple[int, int]]:
    """Pieces (address, size) sorted, with those that touch made one."""
    start = end = 0
    for address, size in sorted(pieces):
        if end and address <= end:
            end = max(end, address + size)
            continue
        if end:
            yield start, end - start
        start, end = address, address + size
    if end:
        yield start, end - start


def triage_bytes(machine: Machine) -> bytes:
    """The dump without its tagged data."""
    return _MachineLayout(machine).build()
