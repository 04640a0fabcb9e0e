"""pefile on every image and llvm-pdbutil on every PDB of the examples, dumpkit's readers beside them."""

from __future__ import annotations

import re
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import pytest
from dumpkit.dump import open_dump
from dumpkit.memory import AddressSpace
from dumpkit.symbols.pdb import PdbFile
from dumpkit.symbols.pe import ImageFile, MappedImage

from tests.agreement import Agreement
from tests.examples.test_made_up_crashes import EXAMPLES, built
from tests.examples.walkthrough import FOLDER
from tests.examples.walkthrough import built as built_walkthrough
from tests.forge.image import Image
from tests.forge.pdb import Pdb
from tests.forge.pdb_types import is_unnamed
from tests.forge.test_image import as_file
from tests.forge.test_pdb import needs_llvm

NAMES = (FOLDER.name, *EXAMPLES)


class Example(NamedTuple):
    """An example's images and PDBs, as it built them, and its folder."""

    folder: Path
    machine: Any
    images: List[Image]
    pdbs: List[Pdb]

    def path(self, pdb: Pdb) -> Path:
        """Where the example's store has a PDB."""
        return self.folder / "symbols" / pdb.name / pdb.store_key / pdb.name


@pytest.fixture(params=NAMES)
def example(request: pytest.FixtureRequest) -> Example:
    if request.param == FOLDER.name:
        crash, pdbs = built_walkthrough()
        machine = crash.machine
    else:
        machine, pdbs = built(request.param)
    return Example(FOLDER.parent / request.param, machine, [image for image, _ in machine.images], pdbs)


def facts_meant(image: Image, base: int) -> Tuple[Any, ...]:
    """What every reader of an image must say: base, size, stamp, checksum, PDB, sections."""
    assert image.codeview is not None
    sections = [(section.name, section.rva) for section in image.sections]
    return base, image.size, image.stamp, image.checksum, image.codeview.pdb_name, sections


def facts_of_pefile(data: bytes) -> Tuple[Any, ...]:
    pefile = pytest.importorskip("pefile", reason="pefile is not installed")
    read = pefile.PE(data=data)
    header = read.OPTIONAL_HEADER
    pdb = next(each.entry.PdbFileName for each in read.DIRECTORY_ENTRY_DEBUG if each.struct.Type == 2)
    sections = [(each.Name.rstrip(b"\0").decode(), each.VirtualAddress) for each in read.sections]
    stamp = read.FILE_HEADER.TimeDateStamp
    return (
        header.ImageBase,
        header.SizeOfImage,
        stamp,
        header.CheckSum,
        pdb.rstrip(b"\0").decode(),
        sections,
    )


def test_pefile_reads_every_image(example: Example, agreement: Agreement) -> None:
    pefile = pytest.importorskip("pefile", reason="pefile is not installed")
    for image in example.images:
        found = facts_of_pefile(image.file())
        # The base of the file is the linker's; memory has the one that the image was loaded at.
        agreement.holds("pefile", "image files", found, facts_meant(image, found[0]))
        read = pefile.PE(data=image.file())
        # It remarks on bytes that are frequent: padding.
        warnings = [text for text in read.get_warnings() if "makes up" not in text]
        if not image.entry_point:
            warnings = [text for text in warnings if "EntryPoint" not in text]
            agreement.explain(
                "pefile", "image files", "it warns of drivers without an entry point, which were given none"
            )
        agreement.holds("pefile", "image files", (warnings, read.verify_checksum()), ([], True))


def read_back(example: Example, image: Image, memory: AddressSpace) -> bytes:
    """An image out of the dump's memory; zeros where a page is not there."""
    pages = range(image.base, image.base + image.size, 0x1000)
    return b"".join(memory.read(page, 0x1000) if example.machine.is_mapped(page) else bytes(0x1000) for page in pages)


def test_pefile_reads_every_image_back_from_the_dump(example: Example, agreement: Agreement) -> None:
    with closing(open_dump(str(example.folder / "MEMORY.DMP"))) as target:
        for image in example.images:
            found = facts_of_pefile(as_file(read_back(example, image, target.memory), image.new_header))
            agreement.holds("pefile", "images in memory", found, facts_meant(image, image.base))


def test_dumpkit_reads_every_image(example: Example, agreement: Agreement, tmp_path: Path) -> None:
    with closing(open_dump(str(example.folder / "MEMORY.DMP"))) as target:
        for image in example.images:
            path = tmp_path / image.name
            path.write_bytes(image.file())
            meant = (
                image.codeview.pdb_name,
                image.codeview.guid,
                image.codeview.age,
                image.stamp,
                image.size,
            )
            with ImageFile(str(path)) as file:
                found = (*file.codeview(), file.timestamp, file.size)
            agreement.holds("dumpkit", "image files", found, meant)
            mapped = MappedImage(target.memory, image.base)
            found = (*mapped.codeview(), mapped.timestamp, mapped.size)
            agreement.holds("dumpkit", "images in memory", found, meant)


def ask_llvm(path: Path, *options: str) -> str:
    """What llvm-pdbutil prints; it must not complain."""
    done = subprocess.run(["llvm-pdbutil", "dump", *options, str(path)], capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout


def publics_meant(pdb: Pdb) -> List[Tuple[int, str]]:
    """(RVA, name) of everything that the linker knew."""
    image = pdb.image
    found = [(label.rva, label.name) for label in image.labels]
    for function in image.functions:
        if function.linker_name and (function.is_global or not pdb.private):
            found.append((function.rva, function.linker_name))
    found += [(each.rva, each.name) for each in image.variables if each.is_global or not pdb.private]
    return sorted(found)


def lines_meant(pdb: Pdb) -> List[Tuple[int, int]]:
    """(RVA, line) of each line's first instruction."""
    functions = pdb.image.functions if pdb.private else []
    return sorted((each.rva + offset, line) for each in functions for offset, line in each.lines)


def types_meant(example: Example, pdb: Pdb) -> Dict[str, int]:
    """Name -> size in bytes: the kernel's PDBs have all types of the layouts, the walkthrough's driver has its own."""
    layouts = example.machine.layouts
    if pdb.name == "ntkrnlmp.pdb":
        return {name: layouts.size(name) for name in layouts if not is_unnamed(name)}
    return {"_SYNC_RESOURCES": 0x38} if pdb.private else {}


@needs_llvm
def test_llvm_reads_every_public(example: Example, agreement: Agreement) -> None:
    for pdb in example.pdbs:
        text = ask_llvm(example.path(pdb), "-publics")
        rows = re.findall(r"S_PUB32 .*? `(.*)`\n.*addr = (\d+):(\d+)", text)
        sections = pdb.image.sections
        found = sorted((sections[int(section) - 1].rva + int(offset), name) for name, section, offset in rows)
        agreement.holds("llvm-pdbutil", "PDB publics", found, publics_meant(pdb))


@needs_llvm
def test_llvm_reads_every_line(example: Example, agreement: Agreement) -> None:
    for pdb in example.pdbs:
        text = ask_llvm(example.path(pdb), "-l")
        found = []
        # Every block says its section, and then line and offset in that section.
        for section, block in re.findall(r"(?m)^  (\w{4}):\w{8}-\w{8}, line/addr.*\n((?:^ {2,}\d.*\n)*)", text):
            start = pdb.image.sections[int(section, 16) - 1].rva
            found += [(start + int(at, 16), int(line)) for line, at in re.findall(r"(\d+) ([0-9A-F]{8})\b", block)]
        agreement.holds("llvm-pdbutil", "PDB lines", sorted(found), lines_meant(pdb))


@needs_llvm
def test_llvm_reads_every_type(example: Example, agreement: Agreement) -> None:
    for pdb in example.pdbs:
        text = ask_llvm(example.path(pdb), "-types")
        assert "our hash" not in text
        records = re.findall(r"LF_(?:STRUCTURE|UNION) .* `(.*)`\n(?:.*\n)*?.*sizeof (\d+)\n", text)
        enums = re.findall(r"LF_ENUM .* `(.*)`\n", text)
        sizes = {name: int(size) for name, size in records if int(size)}
        meant = types_meant(example, pdb)
        found = [(name, sizes.get(name, size if name in enums else None)) for name, size in meant.items()]
        agreement.holds("llvm-pdbutil", "PDB types", found, list(meant.items()))


def test_dumpkit_reads_every_public_line_and_type(example: Example, agreement: Agreement) -> None:
    for pdb in example.pdbs:
        with closing(PdbFile(str(example.path(pdb)))) as file:
            # Import slots have the name that the engine shows: one underscore less.
            publics = [(rva, name[1:] if name.startswith("__imp_") else name) for rva, name in publics_meant(pdb)]
            found = {(each.rva, each.name) for each in file.symbols()}
            kept = [row if row in found else None for row in publics]
            agreement.holds("dumpkit", "PDB publics", kept, publics)
            lines = sorted((each.rva, each.number) for each in file.lines())
            agreement.holds("dumpkit", "PDB lines", lines, lines_meant(pdb))
            types = types_meant(example, pdb)
            sizes = {name: getattr(file.type(name), "size", None) for name in types}
            agreement.holds("dumpkit", "PDB types", list(sizes.items()), list(types.items()))
