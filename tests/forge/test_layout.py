"""The forge's layouts: facts of the public symbols, and how they are asked."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from dumpkit.symbols.types import BitfieldType, PointerType

from tests.forge.layout import windows
from tests.forge.layouts.generate import generate
from tests.shared import SYMBOLS, needs_symbols

TABLES = {19041: "5278AFF86C341677D7D7835C85B7B844-1", 22000: "A426BA5ABEE5E5BF2ECF16EEEE7E769C-1"}


def test_members_have_the_offsets_of_their_build():
    assert windows(19041).offset("_ETHREAD", "Cid") == 0x478
    assert windows(22000).offset("_ETHREAD", "Cid") == 0x4C8
    assert windows(22000).offset("_KPRCB", "DebuggerSavedIRQL") == 0x8158
    assert windows(22621).offset("_KPROCESS", "CpuPartitionList") == 0x420


def test_a_path_leads_through_embedded_records_and_arrays():
    layouts = windows(22000)
    blocks, size = layouts.offset("_ETHREAD", "Tcb.WaitBlock"), layouts.size("_KWAIT_BLOCK")
    assert layouts.offset("_ETHREAD", "Tcb.WaitBlock[2].Object") == blocks + 2 * size + 0x20


def test_types_are_those_of_the_type_model():
    layouts = windows(22000)
    assert isinstance(layouts.place("_IRP", "Tail.Overlay.Thread").type, PointerType)
    bits = layouts.place("_POOL_HEADER", "BlockSize").type
    assert isinstance(bits, BitfieldType) and (bits.position, bits.length) == (0, 8)


def test_a_path_that_leads_nowhere_is_named():
    with pytest.raises(KeyError, match="_KTHREAD of build 22000 has no Soup"):
        windows(22000).offset("_KTHREAD", "Soup")


@needs_symbols
@pytest.mark.parametrize("build", TABLES)
def test_the_tables_are_what_their_generator_makes_of_the_symbols(build):
    table = json.loads(lzma.decompress((SYMBOLS / "isf" / f"{TABLES[build]}.json.xz").read_bytes()))
    folder = Path(__file__).parent / "layouts"
    assert (folder / f"windows_{build}.txt").read_text() == generate(table)
    assert (folder / f"memory_{build}.txt").read_text() == generate(table, "memory")
