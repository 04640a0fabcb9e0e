"""Which name an address is called by; the answers are dbgeng's on a kernel."""

from __future__ import annotations

import pytest
from dumpkit.symbols.isf import IsfFile
from dumpkit.symbols.pdb import PdbFile
from dumpkit.symbols.preference import is_string_literal, preferred

from tests.shared import SYMBOLS, needs_symbols


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["memmove", "memcpy"], "memcpy"),
        (["KiInterruptThunk", "$$0"], "$$0"),
        (["CmpFreePool", "?SmFreeWrapper@@YAXPEAX0@Z", "CmSiFreeMemory"], "?SmFreeWrapper@@YAXPEAX0@Z"),
        (["_guard_check_icall_nop", "AcpiCStateIdleCancel"], "AcpiCStateIdleCancel"),
        (["WPP_RECORDER_SF_d", "WPP_RECORDER_SF_D"], "WPP_RECORDER_SF_D"),
    ],
)
def test_the_first_name_in_the_order_of_bytes_is_preferred(names, shown):
    assert preferred(names) == preferred(names[::-1]) == shown


def test_string_literals_are_known_by_their_decoration():
    assert is_string_literal("??_C@_07NFANNNEC@UNKNOWN@") and not is_string_literal("??_7Shape@@6B@")


@needs_symbols
def test_an_isf_table_and_its_pdb_call_every_address_alike(tmp_path):
    pdb = PdbFile(str(SYMBOLS / "pdb" / "ntkrnlmp-19041-public.pdb"))
    isf = IsfFile(str(SYMBOLS / "isf" / "5278AFF86C341677D7D7835C85B7B844-1.json.xz"), cache=tmp_path)
    places = sorted({symbol.rva for symbol in pdb.symbols() if not is_string_literal(symbol.linkage)})
    # Whoever asks between two literals gets the name before them from both.
    differing = [hex(rva) for rva in places if pdb.nearest(rva + 1)[:2] != isf.nearest(rva + 1)[:2]]
    print(f"{len(places)} places, {len(differing)} differences")  # noqa: T201
    assert len(places) > 30000 and differing == []
