"""A PDB on a forged symbol server, and what the finder says of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import List

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols.finder import SymbolFinder

from tests.forge.small_pdb import GUID, pdb
from tests.forge.symbol_server import SymbolServerFixture

KEY = f"{GUID}1"
PLACE = f"/sym/made.pdb/{KEY}/made.pdb"
COMPRESSED = f"/sym/made.pdb/{KEY}/made.pd_"
POINTER = f"/sym/made.pdb/{KEY}/file.ptr"
PDB = pdb(size=300_000)


def finder(server: SymbolServerFixture, cache: Path, **options) -> SymbolFinder:
    return SymbolFinder(f"srv*{cache}*{server.url}", **options)


def find(found: SymbolFinder) -> str:
    return found.find_pdb("made.pdb", GUID, 1)


def files(folder: Path) -> List[str]:
    """Everything that lies below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def failure(found: SymbolFinder) -> str:
    with pytest.raises(SymbolError) as caught:
        find(found)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def seconds_for(work) -> float:
    before = time.monotonic()
    work()
    return time.monotonic() - before
