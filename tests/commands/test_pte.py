"""`pte` on the walkthrough's dump and on forged page tables: every kind of entry, every level."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Optional

import pytest
from dumpkit.dump import open_dump
from dumpkit.errors import CommandError
from dumpkit.kernel.page_table_entry import flags, meaning, protection_name
from dumpkit.kernel.paging import X64_FOUR_LEVELS
from dumpkit.registers import ARM64, X64
from dumpkit.session import Session

from tests.forge.dump_files import bitmap_dump
from tests.forge.kernel import BASE, Kernel
from tests.forge.kernel_variables import add_debugger_data
from tests.forge.page_tables import (
    ACCESSED,
    DIRTY,
    GLOBAL,
    LARGE,
    NO_EXECUTE,
    PDE,
    PPE,
    PTE,
    PXE,
    SIZE_1G,
    SIZE_2M,
    VALID,
    WRITE,
    PageTables,
    demand_zero_pte,
    page_file_pte,
    prototype_pte,
    transition_pte,
)
from tests.forge.scene import Scene
from tests.forged_session import session_for
from tests.running import run, run_lines, session_of, session_on
from tests.shared import needs_shared

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fast-mutex-irql" / "MEMORY.DMP"
#: A kernel address whose tables the forged kernels have, and where their self-map (slot 1ED) shows its entries.
PLACE = BASE + 0x100000
INDENT = " " * 82

Open = Callable[..., Session]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """A session on a forged kernel after `change` was done to its page tables."""

    def open_(
        change: Optional[Callable[[PageTables], None]] = None,
        levels: int = 4,
        arm64: bool = False,
        members: Optional[Dict[str, int]] = None,
    ) -> Session:
        kernel = Kernel(levels=levels)
        if arm64:
            kernel.tables = PageTables(kernel.memory, arm64=True)
        kernel.add_modules(())
        kernel.put(PLACE, b"a page")
        kernel.members.update(members or {})
        kernel.add_debugger_data()
        if change is not None:
            change(kernel.tables)
        fields: Dict[str, object] = {**kernel.header_fields, "minor_version": 22621}
        if arm64:
            fields["machine"] = ARM64.machine
        path = tmp_path / "made.dmp"
        path.write_bytes(bitmap_dump(kernel.memory, kernel.root, **fields))
        return session_on(open_dump(str(path)))

    return open_


def leaf(opened: Open, value: int) -> List[str]:
    """The lines of an address whose PTE has a value, from the one below "contains" on."""
    lines = run_lines(opened(lambda tables: tables.set_entry(PLACE, PTE, value)), f"pte {PLACE:x}")
    assert lines[2].endswith(f"contains {value:016X}")
    return lines[3:]


def test_the_missing_table_of_the_walkthrough() -> None:
    assert run_lines(session_on(open_dump(str(EXAMPLE))), "!pte ffff80091002ac08") == [
        f"{'':43}VA ffff80091002ac08",
        "PXE at FFFFD7EBF5FAF800    PPE at FFFFD7EBF5F00120    PDE at FFFFD7EBE0024400    PTE at FFFFD7C004880150",
        'Page 19e511 not present in the dump file. Type ".hh dbgerr004" for details',
        "Unable to get PXE FFFFD7EBF5F00120",
    ]


def test_a_mapped_page_shows_four_entries_with_their_letters(opened: Open) -> None:
    lines = run_lines(opened(), f"pte {PLACE:x}")
    assert lines[0] == f"{'':43}VA fffff80010100000"
    assert lines[1] == (
        "PXE at FFFFF6FB7DBEDF80    PPE at FFFFF6FB7DBF0000    PDE at FFFFF6FB7E000400    PTE at FFFFF6FC00080800"
    )
    assert [len(cell) for cell in lines[3].split("pfn ")[1:-1]] == [23, 23, 23]
    assert lines[3].endswith("---DA--KWEV")
    entries = run(opened(), f"pte {PLACE:x}").addresses[0]
    assert (entries.state, entries.entries[-1].name) == ("valid", "PTE")


def test_the_letters_follow_the_bits() -> None:
    assert flags(0x8A00000000283121, X64) == "-G--A--KR-V"
    assert flags(VALID | 1 << 9 | 1 << 4 | 1 << 3 | 1 << 2, X64) == "C----NTUREV"
    assert flags(VALID | WRITE | DIRTY | ACCESSED | GLOBAL | LARGE | NO_EXECUTE, X64) == "-GLDA--KW-V"
    assert flags(0x0060000084600F03, ARM64) == "-R--ADK--V"
    assert flags(0x00E0000084603F03, ARM64) == "-W--ADK--V"
    assert flags(0x00C000009C000F01, ARM64) == "-WX-ADK-LV"
    assert flags(0x0000000084600783 | 1 << 6, ARM64) == "-RXxA-UG-V"


def test_each_kind_of_entry_that_is_not_valid_says_what_it_is(opened: Open) -> None:
    assert leaf(opened, 0)[0].endswith("  not valid") and len(leaf(opened, 0)) == 1
    assert leaf(opened, 0x00003E9800000000)[1:] == [f"{INDENT}Page has been freed"]
    assert leaf(opened, transition_pte(0x166B7))[1:] == [
        f"{INDENT}Transition: 166b7",
        f"{INDENT}Protect: 4 - ReadWrite",
    ]
    assert leaf(opened, page_file_pte(2, 0x1BBEDA))[1:] == [
        f"{INDENT}PageFile:  2",
        f"{INDENT}Offset: 1bbeda",
        f"{INDENT}Protect: 4 - ReadWrite",
    ]
    assert leaf(opened, demand_zero_pte(1))[1:] == [f"{INDENT}DemandZero", f"{INDENT}Protect: 1 - Readonly"]
    assert leaf(opened, prototype_pte(0xFFFFC182CC1FFDF8))[1:] == [f"{INDENT}Proto: FFFFC182CC1FFDF8"]
    assert leaf(opened, prototype_pte(0xFFFFFFFF0000) | 7 << 5)[1:] == [
        f"{INDENT}Proto: VAD",
        f"{INDENT}Protect: 7 - ExecuteWriteCopy",
    ]


def test_a_large_page_shows_the_page_within_it(opened: Open) -> None:
    def map_large(tables: PageTables) -> None:
        tables.map(PLACE + SIZE_2M, 0x200, SIZE_2M)

    lines = run_lines(opened(map_large), f"pte {PLACE + SIZE_2M + 0x15000:x}")
    assert lines[2].endswith("contains 0000000000000000")
    assert lines[3].split("  ")[-1].strip() == "LARGE PAGE pfn 315"
    assert "pfn 200       --LDA--KWEV  LARGE PAGE" in lines[3]


def test_a_page_of_a_gigabyte_ends_one_level_higher(opened: Open) -> None:
    place = PLACE + 4 * SIZE_1G

    def map_huge(tables: PageTables) -> None:
        tables.map(place, 0x80000, SIZE_1G)

    session = opened(map_huge)
    lines = run_lines(session, f"pte {(place & -SIZE_1G) + 0x12345000:x}")
    assert lines[2].count("contains") == 4
    assert lines[3].endswith("pfn 80000     --LDA--KWEV  LARGE PAGE pfn 92345")
    assert run(session, f"pte {place:x}").addresses[0].large


@pytest.mark.parametrize(("level", "valid"), [(PXE, 0), (PPE, 1), (PDE, 2)])
def test_an_upper_entry_that_is_not_valid_ends_the_row(opened: Open, level: int, valid: int) -> None:
    place = PLACE + (1 << 12 + 9 * level) * 3
    lines = run_lines(opened(lambda tables: tables.set_entry(place, level, 0)), f"pte {place:x}")
    assert lines[2].count("contains") == valid + 1
    assert lines[3].count("pfn ") == valid
    assert lines[3].endswith("contains 0000000000000000")
    assert lines[4:] == ["not valid"]


def test_an_address_in_the_tables_stands_for_what_its_entry_maps(opened: Open) -> None:
    session = opened()
    (shown,) = run(session, f"pte {PLACE:x}").addresses
    pxe, ppe, pde, pte = (entry.address for entry in shown.entries)
    for place, mapped in ((pte, PLACE), (pde, PLACE & -SIZE_2M), (ppe, PLACE & -SIZE_1G), (pxe, PLACE & -(1 << 39))):
        assert run(session, f"pte {place:x}").addresses[0].address == mapped


def test_a_literal_entry_is_decoded_where_it_lies(opened: Open) -> None:
    def put(tables: PageTables) -> None:
        words = [0x8A00000000283121, transition_pte(0x1234), prototype_pte(0xFFFFC182CC1FFDF8) | 3 << 5]
        tables.map_bytes(PLACE, b"".join(word.to_bytes(8, "little") for word in words))

    session = opened(put)
    assert run_lines(session, f"pte {PLACE:x} 1") == [
        f"{'':43}VA {PLACE:016x}",
        f"PTE at {PLACE:016X}",
        "contains 8A00000000283121",
        "pfn 283       -G--A--KR-V",
    ]
    assert run_lines(session, f"pte {PLACE + 8:x} 1")[3:] == ["not valid", "Transition: 1234", "Protect: 4 - ReadWrite"]
    assert run_lines(session, f"pte {PLACE + 16:x} 1")[3:] == [
        "not valid",
        "Subsection: FFFFC182CC1FFDF8",
        "Protect: 3 - ExecuteRead",
    ]
    with pytest.raises(CommandError, match="pte: Memory read error at virtual address 0000000000001000"):
        run(session, "pte 1000 1")


def test_a_range_has_a_block_for_each_page_and_one_for_a_hole(opened: Open) -> None:
    session = opened()
    assert [each.address for each in run(session, f"pte {PLACE:x} {PLACE + 0x2FFF:x}").addresses] == [
        PLACE,
        PLACE + 0x1000,
        PLACE + 0x2000,
    ]
    hole = run(session, "pte 0 00007fff`ffffffff").addresses
    assert len(hole) == 256 and hole[1].address == 1 << 39
    assert run_lines(session, f"pte {PLACE:x} {PLACE + 0x1000:x}")[4] == ""
    with pytest.raises(CommandError, match="lies before START"):
        run(session, "pte 2000 1fff")


def test_a_long_range_is_cut_and_says_so(opened: Open) -> None:
    def map_many(tables: PageTables) -> None:
        for region in range(10):
            tables.set_entry(PLACE + region * SIZE_2M, PTE, demand_zero_pte())

    result = run(opened(map_many), f"pte {PLACE & -SIZE_2M:x} {PLACE + 9 * SIZE_2M:x}")
    assert len(result.addresses) == 4096
    assert result.more == (PLACE & -SIZE_2M) + 4096 * 0x1000


def test_ptebase_of_the_debugger_data_comes_first_and_the_self_map_else(opened: Open) -> None:
    by_block = run(opened(members={"PteBase": 0xFFFFF68000000000}), f"pte {PLACE:x}")
    assert (by_block.pte_base, by_block.source) == (0xFFFFF68000000000, "the debugger data block")
    by_map = run(opened(), f"pte {PLACE:x}")
    assert by_map.pte_base == 0xFFFFF68000000000
    assert by_map.source == "the self-map, slot 1ed of the topmost table"
    assert by_map.addresses == by_block.addresses


def test_without_self_map_and_symbols_it_says_what_was_looked_for(opened: Open) -> None:
    def cut(tables: PageTables) -> None:
        tables.memory.write_u64(tables.root + 0x1ED * 8, 0)

    with pytest.raises(CommandError, match="pte: Where the page tables are is not known: no PteBase, no self-map, and"):
        run(opened(cut), f"pte {PLACE:x}")


def test_five_levels_have_the_topmost_on_its_own_line(opened: Open) -> None:
    session = opened(levels=5)
    result = run(session, f"pte {PLACE:x}")
    assert result.levels == 5
    assert [entry.name for entry in result.addresses[0].entries] == ["PML5E", "PXE", "PPE", "PDE", "PTE"]
    lines = run_lines(session, f"pte {PLACE:x}")
    assert lines[1].startswith("5-level paging: PML5E at ") and lines[1].endswith("---DA--KWEV")
    assert lines[2].startswith("PXE at ") and lines[4].count("pfn ") == 4
    place = result.addresses[0].entries[-1].address
    assert run(session, f"pte {place:x}").addresses[0].address == PLACE
    unmapped = run_lines(session, "pte 0080000000000000")
    assert unmapped[1].endswith("contains 0000000000000000  not valid") and len(unmapped) == 3


def test_arm64_has_its_own_letters(opened: Open) -> None:
    lines = run_lines(opened(arm64=True), f"pte {PLACE:x}")
    assert lines[3].count("-RXxADKG-V") == 4
    assert [len(cell) for cell in lines[3].split("pfn ")[1:-1]] == [23, 23, 23]


def test_an_address_that_is_not_canonical_is_said_to_be_none(opened: Open) -> None:
    lines = run_lines(opened(), "pte 0080000000000000")
    assert lines[1] == "This is no canonical address: the entries are those of its low bits"


def test_a_table_that_is_not_in_the_dump_is_named_with_its_page(opened: Open) -> None:
    def lose(tables: PageTables) -> None:
        tables.memory.remove(tables.entry(PLACE, PDE) >> 12 & 0xFFFFFFFF)

    lines = run_lines(opened(lose), f"pte {PLACE + 0x5000:x}")
    assert lines[2].startswith("Page ") and lines[3] == "Unable to get PTE FFFFF6FC00080828"


def test_the_bit_against_l1tf_is_taken_out_where_windows_set_it(tmp_path: Path) -> None:
    scene = Scene(19041, {"nt": ("ntoskrnl.exe", 0xFFFFF80370000000)})
    machine = scene.open()
    state = machine.global_view("_MI_SYSTEM_INFORMATION", "MiState")
    state["Hardware.InvalidPteMask"] = 0x0000_2000_0000_0000
    machine.put(0xFFFFC00100000000, b"x")
    machine.set_pte(0xFFFFC00100001000, 0x0000FEF300002064)
    machine.set_pte(0xFFFFC00100002000, 0x0000200012345880)
    add_debugger_data(machine)
    session = session_for(machine, scene.symbols(), tmp_path)
    assert [line.strip() for line in run_lines(session, "pte ffffc00100001000")[4:]] == [
        "PageFile:  2",
        "Offset: def3",
        "Protect: 3 - ExecuteRead",
    ]
    assert run_lines(session, "pte ffffc00100002000")[4].strip() == "Transition: 12345"
    (tmp_path / "bare").mkdir()
    without = session_for(machine, [], tmp_path / "bare")
    assert run_lines(without, "pte ffffc00100001000")[5].strip() == "Offset: fef3"


def test_protections_have_their_modifiers() -> None:
    assert protection_name(0x18) == "NoAccess"
    assert protection_name(0x14) == "ReadWrite Guard"
    assert protection_name(0x0C) == "ReadWrite NoCache"
    assert protection_name(0x1C) == "ReadWrite WriteCombine"
    assert meaning(0x10, X64_FOUR_LEVELS).kind.value == "freed"


@needs_shared
@pytest.mark.parametrize("name", ["triage_x64", "rts_d1", "111417-58375-01", "triage_arm64", "082325-12593-01"])
def test_a_triage_dump_shows_the_addresses_and_what_it_has_of_the_tables(name: str) -> None:
    lines = run_lines(session_of(name), "pte fffff780`00000000")
    assert lines[1].startswith("PXE at FFFF")
    assert lines[-1].startswith(("pfn ", "Unable to get "))
    assert not any(line.startswith("Page ") for line in lines)
