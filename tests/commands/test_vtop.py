"""`vtop` and `ptov` on the walkthrough's dump and on forged page tables."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Optional

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError
from dumpkit.output import data
from dumpkit.session import Session

from tests.forge.dump_files import bitmap_dump
from tests.forge.kernel import BASE, Kernel
from tests.forge.page_tables import PTE, SIZE_1G, SIZE_2M, PageTables, page_file_pte, transition_pte
from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fast-mutex-irql" / "MEMORY.DMP"
PLACE = BASE + 0x100000


@pytest.fixture
def walkthrough() -> Session:
    return session_on(open_dump(str(EXAMPLE)))


def made(folder: Path, change: Optional[Callable[[PageTables], None]] = None, levels: int = 4) -> Session:
    kernel = Kernel(levels=levels)
    kernel.add_modules(())
    kernel.add_debugger_data()
    kernel.put(PLACE, b"a page")
    if change is not None:
        change(kernel.tables)
    path = folder / "made.dmp"
    path.write_bytes(bitmap_dump(kernel.memory, kernel.root, **kernel.header_fields))
    return session_on(open_dump(str(path)))


def test_each_entry_is_shown_by_its_physical_address(walkthrough: Session) -> None:
    assert run_lines(walkthrough, "!vtop 1ad000 fffff80225da1234") == [
        "Amd64VtoP: Virt fffff80225da1234, pagedir 00000000001ad000",
        "Amd64VtoP: PML4E 00000000001adf80",
        "Amd64VtoP: PDPE 00000000001af040",
        "Amd64VtoP: PDE 00000000001b0970",
        "Amd64VtoP: PTE 000000000020ad08",
        "Amd64VtoP: Mapped phys 000000000020b234",
        "Virtual address fffff80225da1234 translates to physical address 20b234.",
    ]
    assert run(walkthrough, "vtop 0 fffff80225da1234") == run(walkthrough, "vtop 1ad000 fffff80225da1234")


def test_entries_that_lead_nowhere_end_the_walk(walkthrough: Session) -> None:
    assert run_lines(walkthrough, "vtop 0 fffff80225da6000")[-2:] == [
        "Amd64VtoP: zero PTE",
        "Virtual address fffff80225da6000 translation fails, error 0xD0000147.",
    ]
    missing = run_lines(walkthrough, "vtop 0 ffff80091002ac08")
    assert missing[-2] == "Amd64VtoP: page 19e511 not in the dump (it holds the PPE)"


def test_large_pages_and_pages_in_transition_are_mapped(tmp_path: Path) -> None:
    def change(tables: PageTables) -> None:
        tables.map(PLACE + SIZE_2M, 0x200, SIZE_2M)
        tables.set_entry(PLACE + 0x1000, PTE, transition_pte(tables.entry(PLACE, PTE) >> 12 & 0xFFFFFF))
        tables.set_entry(PLACE + 0x2000, PTE, page_file_pte(1, 0x99))

    session = made(tmp_path, change)
    large = run_lines(session, f"vtop 0 {PLACE + SIZE_2M + 0x1234:x}")
    assert large[-3] == "Amd64VtoP: Large page mapped phys 0000000000301234"
    assert large[-1].startswith("That page cannot be read: page 301 not in the dump")
    moving = run_lines(session, f"vtop 0 {PLACE + 0x1000:x}")
    assert moving[-2] == "Amd64VtoP: the page is not valid (transition), its content is still there"
    gone = run_lines(session, f"vtop 0 {PLACE + 0x2000:x}")
    assert gone[-2] == "Amd64VtoP: not present at PTE (in a page file, at page 99 of it)"


def test_every_mapped_page_is_listed_once_and_large_ones_as_such(tmp_path: Path) -> None:
    def change(tables: PageTables) -> None:
        tables.map(PLACE + SIZE_2M, 0x200, SIZE_2M)
        tables.map(0x7FF0_0000_0000, 0x40000, SIZE_1G)

    session = made(tmp_path, change)
    lines = run_lines(session, "ptov 0")
    assert lines[0].startswith("Amd64PtoV: pagedir ")
    assert lines[1] == "0000000040000000 00007ff000000000 (1GB large page)"
    assert f"{0x200000:016x} {PLACE - 0x100000 + SIZE_2M:016x} (2MB large page)" in lines
    addresses = [line.split()[1] for line in lines[1:]]
    assert addresses == sorted(set(addresses))
    memory = session.dump.memory
    for page in data(run(session, "ptov 0"))["pages"]:
        assert page["size"] != 0x1000 or memory.read_prefix(int(page["address"], 16), 1)


def test_five_levels_have_one_entry_more(tmp_path: Path) -> None:
    lines = run_lines(made(tmp_path, levels=5), f"vtop 0 {PLACE:x}")
    assert [line.split()[1] for line in lines[1:6]] == ["PML5E", "PML4E", "PDPE", "PDE", "PTE"]
    assert f"{PLACE:016x}" in " ".join(run_lines(made(tmp_path, levels=5), "ptov 0"))


def test_tables_that_are_not_in_the_dump_are_passed_over(walkthrough: Session) -> None:
    assert run_lines(walkthrough, "ptov 123000") == ["Amd64PtoV: pagedir 0000000000123000"]


@needs_shared
def test_a_minidump_has_no_physical_memory() -> None:
    for text in ("vtop 0 0", "ptov 0"):
        with pytest.raises(CommandError, match="this target has no physical memory"):
            run(session_of("triage_x64"), text)
