"""DumpTarget over dumps of every kind that the tests write: what commands see, and what they are told is missing."""

from __future__ import annotations

from pathlib import Path
from struct import pack, pack_into
from typing import Callable, List, Optional

import pytest
from dumpkit.dump import open_dump
from dumpkit.dump.target import DumpTarget
from dumpkit.dump.triage import PRCB_ADDRESS
from dumpkit.errors import DumpFormatError, DumpkitError, SymbolError
from dumpkit.registers import ARM64, X64

from tests.forge.dump_files import WRITERS
from tests.forge.kernel import BASE, DEBUGGER_DATA, LOADED_MODULE_LIST, PROCESSOR_BLOCK, Image, Kernel, Unloaded
from tests.forge.triage import (
    KERNEL_BASE,
    PROCESS,
    STACK,
    THREAD,
    Block,
    Driver,
    TriageFile,
    build_context,
    processor_blocks,
)

OpenBytes = Callable[[bytes], DumpTarget]

IMAGES = [
    Image(BASE, 0x1000000, "\\SystemRoot\\system32\\ntoskrnl.exe", header=True),
    Image(BASE + 0x2000000, 0x6000, "\\SystemRoot\\system32\\hal.dll"),
    Image(BASE - 0x1000000, 0x7000, "\\SystemRoot\\System32\\drivers\\a.b.sys"),
]
CONTEXTS = [build_context(instruction=BASE + 0x1000 * i, stack=STACK + 0x10000 * i) for i in range(4)]


@pytest.fixture
def opened(tmp_path: Path) -> OpenBytes:
    def open_bytes(data: bytes) -> DumpTarget:
        path = tmp_path / "made.dmp"
        path.write_bytes(data)
        return open_dump(str(path))

    return open_bytes


def kernel_dump(
    dump_type: int = 6,
    context: Optional[bytes] = CONTEXTS[2],
    change: Callable[[Kernel], None] = lambda kernel: None,
    pointed: bool = True,
    **fields: int,
) -> bytes:
    """A dump of a kernel with three modules and four processors, of which number 2 crashed."""
    kernel = Kernel()
    kernel.add_modules(IMAGES)
    kernel.add_unloaded([Unloaded(BASE + 0x5000000, BASE + 0x5001000, "first.sys", 7)])
    kernel.add_build_lab("19041.1.amd64fre.vb_release.191206-1406")
    kernel.add_service_pack(0x100)
    kernel.add_processors(CONTEXTS, pointed)
    kernel.add_debugger_data()
    change(kernel)
    fields = {"processors": 4, **kernel.header_fields, **fields}
    return bytes(WRITERS[dump_type](kernel.memory, kernel.root, context=context or b"", **fields))


@pytest.mark.parametrize("dump_type", sorted(WRITERS))
def test_every_kind_of_physical_dump_is_the_same_target(opened: OpenBytes, dump_type: int) -> None:
    target = opened(kernel_dump(dump_type))
    assert [(m.base, m.size, m.name) for m in target.modules] == [
        (IMAGES[2].base, 0x7000, "a_b"),
        (BASE, 0x1000000, "nt"),
        (IMAGES[1].base, 0x6000, "hal"),
    ]
    assert [(u.base, u.end, u.name, u.time) for u in target.unloaded_modules] == [
        (BASE + 0x5000000, BASE + 0x5001000, "first.sys", 7)
    ]
    assert target.current_processor == 2
    assert [target.context(number)["rip"] for number in range(4)] == [BASE + 0x1000 * i for i in range(4)]
    assert target.physical is not None
    assert target.memory.u64(LOADED_MODULE_LIST) != 0
    assert target.notes == ()
    target.close()


def test_the_system_is_described_without_symbols(opened: OpenBytes) -> None:
    system = opened(kernel_dump()).system
    assert (system.build, system.checked, system.processors) == (19041, False, 4)
    assert (system.kernel_base, system.ps_loaded_module_list) == (BASE, LOADED_MODULE_LIST)
    assert system.build_lab == "19041.1.amd64fre.vb_release.191206-1406"
    assert (system.product_type, system.suite_mask, system.service_pack) == (1, 0x110, 0x100)
    assert (system.system_time, system.uptime) == (0x1DA_2600_0000_0000, 4509110000)


def test_a_checked_build_is_told_from_a_free_one(opened: OpenBytes) -> None:
    assert opened(kernel_dump(major_version=0xC)).system.checked


def test_the_crashed_processor_is_the_one_with_the_headers_stack_pointer(opened: OpenBytes) -> None:
    other_place = build_context(instruction=BASE + 0x9999, stack=STACK + 0x30000)
    target = opened(kernel_dump(context=other_place))
    assert target.current_processor == 3
    assert target.context(3)["rip"] == BASE + 0x3000


def test_where_no_processor_has_it_the_first_is_taken_and_the_user_told(opened: OpenBytes) -> None:
    target = opened(kernel_dump(context=build_context(stack=0x1234)))
    assert target.current_processor == 0
    assert target.notes == ("The dump does not tell which processor crashed; processor 0 is taken for it.",)


def test_registers_may_lie_in_the_prcb_itself(opened: OpenBytes) -> None:
    target = opened(kernel_dump(pointed=False))
    assert target.current_processor == 2
    assert target.context(1)["rsp"] == STACK + 0x10000


def test_special_registers_come_with_the_others(opened: OpenBytes) -> None:
    target = opened(kernel_dump())
    assert target.context(1)["cr3"] == target.header.directory_table_base


def test_prcb_thread_and_process_are_known_without_symbols(opened: OpenBytes) -> None:
    target = opened(kernel_dump())
    prcb = target.prcb_address(3)
    assert target.memory.u64(PROCESSOR_BLOCK + 24) == prcb
    assert target.thread_address(3) == target.memory.u64(prcb + 8)
    assert target.process_address(3) == target.memory.u64(target.thread_address(3) + 0xB8)


@pytest.mark.parametrize("number", [-1, 4, 1 << 40])
def test_a_processor_that_the_machine_lacks_is_refused(opened: OpenBytes, number: int) -> None:
    target = opened(kernel_dump())
    for ask in (target.context, target.prcb_address, target.thread_address, target.process_address):
        with pytest.raises(DumpkitError, match=f"{number} is not a valid processor number"):
            ask(number)


def test_an_encoded_debugger_data_block_costs_processors_and_is_noted(opened: OpenBytes) -> None:
    target = opened(kernel_dump(change=lambda kernel: kernel.put(DEBUGGER_DATA + 0x10, b"\x9f\x13\x55\x77")))
    assert len(target.modules) == 3
    assert target.system.kernel_base == BASE
    assert target.context(0)["rip"] == BASE + 0x2000
    with pytest.raises(DumpkitError, match="no debugger data block"):
        target.context(1)
    assert any("encoded or damaged" in note for note in target.notes)


def test_a_header_without_its_pointers_gives_memory_and_registers(opened: OpenBytes) -> None:
    absent = int.from_bytes(b"PAGEPAGE", "little")
    target = opened(kernel_dump(ps_loaded_module_list=absent, kd_debugger_data_block=absent))
    assert target.modules == []
    assert target.context(0)["rip"] == BASE + 0x2000
    assert target.memory.u64(LOADED_MODULE_LIST) != 0
    assert len(target.notes) == 3


def test_a_dump_without_registers_says_so(opened: OpenBytes) -> None:
    def lose_prcbs(kernel: Kernel) -> None:
        kernel.put(PROCESSOR_BLOCK, bytes(32))

    target = opened(kernel_dump(context=None, change=lose_prcbs))
    with pytest.raises(DumpkitError, match="was not started"):
        target.context(0)


def test_the_module_list_is_found_through_the_debugger_data_too(opened: OpenBytes) -> None:
    absent = int.from_bytes(b"PAGEPAGE", "little")
    assert len(opened(kernel_dump(ps_loaded_module_list=absent)).modules) == 3


def test_lost_unloaded_modules_are_noted(opened: OpenBytes) -> None:
    target = opened(kernel_dump(change=lambda kernel: kernel.put(BASE + 0x2C000, pack("<Q", 0xDEAD000))))
    assert target.unloaded_modules == []
    assert any("unloaded modules cannot be told" in note for note in target.notes)


@pytest.mark.parametrize("machine", [0x14C, 0x1C4, 0])
def test_another_machine_is_refused_by_its_number(opened: OpenBytes, machine: int) -> None:
    with pytest.raises(DumpFormatError, match=f"0x{machine:x}"):
        opened(TriageFile(header={"machine": machine}).build())
    with pytest.raises(DumpFormatError, match=f"0x{machine:x}"):
        opened(kernel_dump(machine=machine))


def test_a_triage_dump_is_a_target_too(opened: OpenBytes) -> None:
    drivers = (Driver(KERNEL_BASE, 0x1000000, "ntoskrnl.exe"), Driver(KERNEL_BASE - 0x10000, 0x2000, "a-b.sys"))
    target = opened(TriageFile(processors=8, processor=5, drivers=drivers, service_pack=0x200).build())
    assert [m.name for m in target.modules] == ["a_b", "nt"]
    assert target.kind == "triage dump (minidump)"
    assert target.architecture is X64
    assert target.physical is None
    assert target.current_processor == 5
    assert target.system.service_pack == 0x200
    assert target.memory.u64(STACK + 8) == 1
    assert target.bugcheck is not None
    assert target.bugcheck.parameters == (1, 2, 3, 4)
    assert target.notes == ()


def test_a_triage_dump_of_arm64(opened: OpenBytes) -> None:
    target = opened(TriageFile(machine=ARM64.machine).build())
    assert target.architecture is ARM64
    assert target.context(0)["x0"] == 0xA
    assert "cr3" not in target.context(0)


def test_a_triage_dump_of_one_processors_data_has_the_prcb_where_the_engine_shows_it(opened: OpenBytes) -> None:
    target = opened(TriageFile(processors=8, processor=5).build())
    assert target.prcb_address(5) == PRCB_ADDRESS
    assert target.memory.u32(PRCB_ADDRESS + 0x24) == 5
    assert (target.thread_address(5), target.process_address(5)) == (THREAD, PROCESS)
    assert target.context(5)["cr3"] == 0x1AD000
    for ask in (target.context, target.prcb_address, target.thread_address, target.process_address):
        with pytest.raises(DumpkitError, match="single processor kernel triage dump"):
            ask(1)


def test_a_triage_dump_may_hold_the_prcbs_of_all_processors(opened: OpenBytes) -> None:
    blocks = processor_blocks(CONTEXTS, array=KERNEL_BASE + 0x5000, first_prcb=0xFFFF800070000000)
    exception = build_context(instruction=BASE + 0x7777)
    made = TriageFile(
        processors=4,
        processor=1,
        blocks=blocks,
        context=exception,
        debugger_data={"KiProcessorBlock": KERNEL_BASE + 0x5000},
    )
    target = opened(made.build())
    assert [target.context(number)["rip"] for number in range(4)] == [BASE + 0x1000 * i for i in range(4)]
    assert target.prcb_address(1) == 0xFFFF800070010000
    assert target.thread_address(3) == THREAD + 0x3000
    assert target.context(3)["cr3"] == 0x1AD003


def test_a_processor_number_beyond_the_headers_count_is_not_believed(opened: OpenBytes) -> None:
    target = opened(TriageFile(processors=4, processor=77).build())
    assert target.current_processor == 0
    assert any("which processor crashed" in note for note in target.notes)


def test_the_build_lab_is_read_where_the_dump_has_it(opened: OpenBytes) -> None:
    blocks = (Block(KERNEL_BASE + 0x3000, b"9600.1.amd64fre.winblue\0rest"),)
    made = TriageFile(blocks=blocks, debugger_data={"NtBuildLab": KERNEL_BASE + 0x3000})
    assert opened(made.build()).system.build_lab == "9600.1.amd64fre.winblue"
    garbage = TriageFile(blocks=(Block(KERNEL_BASE + 0x3000, b"\x01\x02"),), debugger_data=made.debugger_data)
    assert opened(garbage.build()).system.build_lab is None
    assert opened(TriageFile().build()).system.build_lab is None


def test_tagged_data_is_found_behind_every_kind_of_dump(opened: OpenBytes) -> None:
    guid, text = bytes(range(16)), "03020100-0504-0706-0809-0a0b0c0d0e0f"
    triage = opened(TriageFile(tagged=((guid, b"payload"), (bytes(16), b""))).build())
    assert triage.tagged_data(text) == b"payload"
    assert triage.tagged_data("unknown") is None
    assert len(triage.tagged_blobs) == 2
    piece = b"DumpBlob" + pack("<II", 0x10, 0) + pack("<I16sIII", 0x20, guid, 4, 0, 0) + b"more"
    for dump_type in sorted(WRITERS):
        assert opened(kernel_dump(dump_type) + piece).tagged_data(text) == b"more"


def test_without_symbols_a_place_is_named_by_its_module(opened: OpenBytes) -> None:
    target = opened(TriageFile().build())
    place = target.symbols.nearest(KERNEL_BASE + 0x10)
    assert str(place) == "nt+0x10"
    assert target.symbols.nearest(0) is None
    assert target.symbols.address_of("NT") == KERNEL_BASE
    with pytest.raises(SymbolError, match="NoSuch"):
        target.symbols.address_of("NoSuch")
    with pytest.raises(SymbolError, match="nt!_KTHREAD"):
        target.symbols.type("_KTHREAD", "nt")


def test_a_stop_code_of_zero_without_arguments_is_no_bugcheck(opened: OpenBytes) -> None:
    data = bytearray(TriageFile(header={"bugcheck_code": 0}).build())
    pack_into("<4Q", data, 0x40, 0, 0, 0, 0)
    assert opened(bytes(data)).bugcheck is None


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DumpkitError, match="Could not open dump file") as caught:
        open_dump(str(tmp_path / "missing.dmp"))
    assert "\n" not in str(caught.value)


def test_a_folder_stands_for_the_only_dump_in_it(tmp_path: Path) -> None:
    with pytest.raises(DumpkitError, match=r"is a folder with 0 files named \*\.dmp; name the dump itself"):
        open_dump(str(tmp_path))
    (tmp_path / "made.dmp").write_bytes(TriageFile().build())
    assert open_dump(str(tmp_path)).name == str(tmp_path / "made.dmp")
    (tmp_path / "other.DMP").write_bytes(b"")
    with pytest.raises(DumpkitError, match="is a folder with 2 files"):
        open_dump(str(tmp_path))


def test_an_empty_file_is_refused(opened: OpenBytes) -> None:
    with pytest.raises(DumpFormatError, match="empty"):
        opened(b"")


def test_the_symbol_path_is_kept_for_whoever_loads_symbols(tmp_path: Path) -> None:
    path = tmp_path / "made.dmp"
    path.write_bytes(TriageFile().build())
    target = open_dump(str(path), symbol_path="srv*", offline=True)
    assert (target.symbol_path, target.offline, target.name) == ("srv*", True, str(path))


def test_opening_reads_nothing_but_the_header(opened: OpenBytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from dumpkit.dump.triage import TriageDump

    calls: List[str] = []
    for name in ("drivers", "unloaded_modules", "extents"):
        monkeypatch.setattr(TriageDump, name, lambda self, name=name: calls.append(name) or [])
    opened(TriageFile().build())
    assert calls == []
