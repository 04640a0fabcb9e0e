"""The dump of the walkthrough: readers that know nothing of the forge agree with what it meant."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest
from dumpkit.dump import open_dump
from dumpkit.registers import Context

from tests.examples.walkthrough import FOLDER, built
from tests.forge.pdb import Pdb
from tests.forge.rig import ask_engine, needs_rig, write_store

BUILD = "22621.2506.amd64fre.ni_release_svc_prod3.231018-1809"
STACK = (FOLDER / "stack.txt").read_text().splitlines()


@pytest.fixture(params=(1, 4, 5, 6))
def target(request, tmp_path):
    path = tmp_path / "MEMORY.DMP"
    built()[0].machine.save(path, request.param)
    with closing(open_dump(str(path))) as opened:
        yield opened


def test_the_dump_and_the_symbols_that_lie_here_are_what_build_makes():
    crash, pdbs = built()
    assert (FOLDER / "MEMORY.DMP").read_bytes() == crash.machine.dump(6)
    for pdb in pdbs:
        assert (FOLDER / "symbols" / pdb.name / pdb.store_key / pdb.name).read_bytes() == pdb.file()


def test_the_dump_is_a_few_megabytes_at_most():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 4 << 20


def test_every_kind_of_dump_says_what_the_walkthrough_prints(target, agreement):
    assert target.system.build_lab == BUILD
    assert (target.system.kernel_base, target.system.processors) == (0xFFFFF80204000000, 6)
    assert (target.system.ps_loaded_module_list, target.system.uptime) == (0xFFFFF80204C134A0, 4509110000)
    assert target.bugcheck.code == 0xD1
    assert target.bugcheck.parameters == (0xFFFF80091002AC08, 2, 1, 0xFFFFF802084D9062)
    assert target.current_processor == 4
    agreement.holds("dumpkit", "threads", target.thread_address(4), 0xFFFFB507729E3040)
    agreement.holds("dumpkit", ".process", target.process_address(4), 0xFFFFB5076A4EB040)
    names = [module.name for module in target.modules]
    agreement.holds("dumpkit", "modules", names, ["nt", "FLTMGR", "WDFLDR", "fileinfo", "Ntfs", "TestDriver"])
    assert not target.notes


def test_every_kind_of_dump_holds_the_whole_stack(target):
    rows = [[int(word, 16) for word in line.split()[:-1]] for line in STACK]
    for (_, address, *words), (above, *_) in zip(rows, rows[1:]):
        if above != 0xFFFFED0EE77DD020:
            assert target.memory.u64(above - 8) == address
        assert [target.memory.u64(above + 8 * index) for index in range(4)] == words


def test_the_page_tables_lead_to_a_page_that_is_not_there():
    with closing(open_dump(str(FOLDER / "MEMORY.DMP"))) as target:
        # The PTE_BASE that the printed addresses of PTEs give, and the PXE and the PPE that they name.
        assert target.debugger_data["PteBase"] == 0xFFFFD78000000000
        assert target.memory.u64(0xFFFFD7EBF5FAF800) >> 12 & 0xFFFFFFFFFF == 0x19E511
        assert target.memory.u64_optional(0xFFFFD7EBF5F00120) is None


def test_every_processor_has_its_registers():
    with closing(open_dump(str(FOLDER / "MEMORY.DMP"))) as target:
        contexts = [target.context(number) for number in range(6)]
        assert all(isinstance(context, Context) for context in contexts)
        assert contexts[4].stack_pointer == 0xFFFFED0EE77DCD48


def test_kdmp_parser_reads_the_same_pages(tmp_path, agreement):
    kdmp_parser = pytest.importorskip("kdmp_parser")
    machine = built()[0].machine
    for kind in (1, 5, 6):
        path = tmp_path / f"{kind}.dmp"
        machine.save(path, kind)
        parser = kdmp_parser.KernelDumpParser(path)
        pages = [bytes(parser.pages[pfn << 12]) for pfn in machine.memory.pages]
        agreement.holds("kdmp-parser", "physical pages", pages, [bytes(each) for each in machine.memory.pages.values()])


def test_dumpkit_reads_the_same_pages(tmp_path, agreement):
    pages = built()[0].machine.memory.pages
    for kind in (1, 5, 6):
        built()[0].machine.save(tmp_path / f"{kind}.dmp", kind)
        with closing(open_dump(str(tmp_path / f"{kind}.dmp"))) as target:
            found = [target.physical.read(pfn << 12, 0x1000) for pfn in pages]
        agreement.holds("dumpkit", "physical pages", found, [bytes(each) for each in pages.values()])


def _engine_frames(lines):
    found = []
    for line in lines:
        match = re.match(r"\s*[0-9a-f]+ ([0-9a-f`]{17}) ([0-9a-f`]{17}) (\S+)", line)
        if match:
            found.append((match[1].replace("`", ""), match[2].replace("`", ""), match[3]))
    return found


@needs_rig
@pytest.mark.rig
@pytest.mark.parametrize("kind", (1, 4, 6))
def test_the_engine_sees_the_stack_of_the_walkthrough(kind, tmp_path):
    crash, pdbs = built()
    # A triage dump holds no unwind data: the engine takes the images from the store.
    images = [image for image, _ in crash.machine.images] if kind == 4 else []
    store = write_store(tmp_path / "store", [*pdbs, *images])
    answers = ask_engine(tmp_path, crash.machine.dump(kind), ("knL", ".trap ffffed0ee77dce90"), store)
    wanted = [(line.split()[0], line.split()[1], line.split()[-1]) for line in STACK]
    assert _engine_frames(answers["knL"]) == wanted
    trap = "\n".join(answers[".trap ffffed0ee77dce90"])
    assert "rip=fffff802084d9062 rsp=ffffed0ee77dd020 rbp=ffffed0ee77ddb39" in trap
    assert "iopl=0         nv up ei ng nz na pe nc" in trap
    assert "49894708        mov     qword ptr [r15+8],rax ds:00000000`00000008=????????????????" in trap


@needs_rig
@pytest.mark.rig
def test_the_engine_finds_the_stack_of_a_waiting_thread(tmp_path):
    crash, pdbs = built()
    machine = crash.machine
    system = machine.view("_EPROCESS", 0xFFFFB5076A4EB040)
    link = machine.u64(machine.u64(system.at("ThreadListHead")))
    thread = link - machine.layouts.offset("_ETHREAD", "ThreadListEntry")
    commands = (f".thread {thread:x}", "knL")
    answers = ask_engine(tmp_path, machine.dump(6), commands, write_store(tmp_path / "store", pdbs))
    frames = [name.split("!")[1].split("+")[0] for _, _, name in _engine_frames(answers["knL"])]
    assert frames[:4] == ["KiSwapContext", "KiSwapThread", "KiCommitThreadWait", "KeWaitForSingleObject"]
    assert frames[-1] == "KiStartSystemThread"


def test_the_store_says_the_two_lines_of_the_source():
    pdb = next(pdb for pdb in built()[1] if pdb.name == "TestDriver.pdb")
    assert isinstance(pdb, Pdb) and pdb.private
    from dumpkit.symbols.pdb import PdbFile

    path = Path(FOLDER, "symbols", pdb.name, pdb.store_key, pdb.name)
    symbols = PdbFile(str(path))
    assert [symbols.line(rva).number for rva in (0x14B2, 0x1142)] == [21, 64]
