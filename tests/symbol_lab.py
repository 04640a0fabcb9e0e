"""A dump with a kernel and a driver, and a folder of symbols for both, made for tests of names and types."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from tests.forge.image import Image
from tests.forge.pdb import Pdb
from tests.forge.sample_driver import BASE, RESOURCES, driver
from tests.forge.triage import DEBUGGER_DATA, KERNEL_BASE, LOADED_MODULE_LIST, Block, Driver, TriageFile
from tests.symbols import isf_tables

#: The kernel's PDB, as its ISF table is named after it.
KERNEL_KEY = "0123456789ABCDEF0123456789ABCDEF-1"
KERNEL_SYMBOLS: Dict[str, int] = {
    "KeBugCheckEx": 0x1000,
    "KeBugCheck2": 0x1200,
    "__C_specific_handler": 0x1400,
    "KiAlias": 0x1600,
    "KyAlias": 0x1600,
    "PsLoadedModuleList": LOADED_MODULE_LIST - KERNEL_BASE,
    "KdDebuggerDataBlock": DEBUGGER_DATA - KERNEL_BASE,
}


def write_dump(folder: Path, in_memory: bool = False, name: str = "made.dmp") -> str:
    """The dump's path; with `in_memory` the driver's image is in the dump, with the id of its PDB."""
    image = driver()
    drivers = (
        Driver(KERNEL_BASE, 0x1000000, "\\SystemRoot\\system32\\ntoskrnl.exe"),
        Driver(BASE, image.size, "\\SystemRoot\\System32\\drivers\\TestDriver.sys", image.stamp, image.checksum),
        Driver(BASE + 0x1000000, 0x8000, "\\SystemRoot\\System32\\drivers\\other.sys", 0x5E000000, 1),
    )
    blocks = [Block(image.base + rva, page) for rva, page in image.pages()] if in_memory else []
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(TriageFile(drivers=drivers, blocks=blocks).build())
    return str(path)


def write_kernel_table(
    folder: Path, symbols: Optional[Mapping[str, int]] = None, key: str = KERNEL_KEY, **changes: Any
) -> Path:
    """The kernel's ISF table, named by its key."""
    entries = {name: {"address": rva} for name, rva in (symbols or KERNEL_SYMBOLS).items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}.json.xz"
    path.write_bytes(lzma.compress(json.dumps(isf_tables.table(symbols=entries, **changes)).encode()))
    return path


def driver_pdb(image: Optional[Image] = None, **options: Any) -> Pdb:
    return Pdb(image or driver(), [RESOURCES], **options)


def write_store(folder: Path, with_image: bool = True, pdb: Optional[bytes] = None) -> Path:
    """A symbol store with the driver's image and its PDB; `pdb` is put in that one's place."""
    image = driver()
    made = driver_pdb(image)
    if with_image:
        put(folder / image.name / image.store_key / image.name, image.file())
    put(folder / made.name / made.store_key / made.name, made.file() if pdb is None else pdb)
    return folder


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
