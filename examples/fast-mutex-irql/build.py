"""Writes the dump of the walkthrough and its symbol store beside this file: python examples/fast-mutex-irql/build.py"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Dict, List

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

from walkthrough_driver import synchronization, test_driver  # noqa: E402
from walkthrough_images import file_system, filter_image, framework_loader, kernel  # noqa: E402
from walkthrough_machine import BUILD, Crash, build_machine  # noqa: E402
from walkthrough_stack import Row, read_stack  # noqa: E402

from tests.forge.image import Image  # noqa: E402
from tests.forge.layout import Layouts, windows  # noqa: E402
from tests.forge.pdb import Pdb  # noqa: E402


def build_images(rows: List[Row], layouts: Layouts) -> Dict[str, Image]:
    """The images by the names that the debugger gives them."""
    return {
        "nt": kernel(rows),
        "FLTMGR": filter_image("FLTMGR", rows),
        "WDFLDR": framework_loader(),
        "fileinfo": filter_image("fileinfo", rows),
        "Ntfs": file_system(rows),
        "TestDriver": test_driver(layouts),
    }


def build_symbols(images: Dict[str, Image], layouts: Layouts) -> List[Pdb]:
    """The kernel's PDB is public and has types, TestDriver's is private, the others have names alone."""
    pdbs = []
    for name, image in images.items():
        types = [layouts.type(each) for each in layouts] if name == "nt" else []
        types = [synchronization(layouts)] if name == "TestDriver" else types
        pdbs.append(Pdb(image, types, private=name == "TestDriver"))
    return pdbs


def build_crash() -> tuple[Crash, List[Pdb]]:
    """The machine at its crash, and the PDBs of its images."""
    layouts, rows = windows(BUILD), read_stack()
    images = build_images(rows, layouts)
    return build_machine(images, rows), build_symbols(images, layouts)


def main(folder: Path = HERE, dump_type: int = 6) -> None:
    """Write MEMORY.DMP and symbols/ into a folder."""
    crash, pdbs = build_crash()
    crash.machine.save(folder / "MEMORY.DMP", dump_type)
    for pdb in pdbs:
        place = folder / "symbols" / pdb.name / pdb.store_key
        place.mkdir(parents=True, exist_ok=True)
        (place / pdb.name).write_bytes(pdb.file())


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
