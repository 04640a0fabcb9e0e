"""Sessions on forged machines, with the PDBs of their images beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

from dumpkit.dump import open_dump
from dumpkit.session import Session

from tests.forge.machine import Machine
from tests.forge.pdb import Pdb
from tests.running import session_on


def session_for(machine: Machine, pdbs: Sequence[Pdb], folder: Path, dump_type: int = 6) -> Session:
    """A session on a dump of the machine, written into a folder; the store of its PDBs is the symbol path."""
    store = folder / "store"
    for pdb in pdbs:
        place = store / pdb.name / pdb.store_key / pdb.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(pdb.file())
    path = folder / f"type{dump_type}.dmp"
    machine.save(path, dump_type)
    return session_on(open_dump(str(path), symbol_path=str(store)))


def page_of(machine: Machine, address: int) -> Optional[int]:
    """The page frame number behind a virtual address of the machine, or None where nothing is mapped."""
    entry = machine.tables.entry(address, 0)
    return entry >> 12 & 0xFF_FFFF_FFFF if entry & 1 else None


def drop_page(machine: Machine, address: int) -> None:
    """Leave the page at a virtual address out of the dump."""
    number = page_of(machine, address)
    assert number is not None
    machine.memory.remove(number)
