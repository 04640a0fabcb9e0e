"""Forged PDBs, held against readers that know nothing of the forge: llvm-pdbutil, and dumpkit's own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Callable, Iterator, List

import pytest
from dumpkit.symbols.isf import IsfFile
from dumpkit.symbols.pdb import PdbFile
from dumpkit.symbols.types import (
    ArrayType,
    BitfieldType,
    EnumType,
    FunctionType,
    PointerType,
    RecordType,
    Type,
)

from tests.forge.declarations import INT, LONG, ULONGLONG, VOID, bits, enum, pointer, struct
from tests.forge.image import Image
from tests.forge.image_sections import DATA, TEXT
from tests.forge.image_tables import CodeView
from tests.forge.pdb import Pdb
from tests.forge.pdb_types import is_unnamed
from tests.forge.sample_driver import BASE, FAST_MUTEX, GUID, HEADER, OBJECT, RESOURCES, SOURCE, driver
from tests.shared import SYMBOLS, needs_symbols

needs_llvm = pytest.mark.skipif(shutil.which("llvm-pdbutil") is None, reason="llvm-pdbutil is not installed")
WINDOWS_11 = "A426BA5ABEE5E5BF2ECF16EEEE7E769C"

Dump = Callable[..., str]


@pytest.fixture
def dump(tmp_path: Path) -> Dump:
    """What llvm-pdbutil prints of a PDB; it must not complain, nor compute another hash for any type."""

    def run(pdb: Pdb, *options: str) -> str:
        path = tmp_path / "made.pdb"
        path.write_bytes(pdb.file())
        command = ["llvm-pdbutil", "dump", *options, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert not done.stderr
        assert "our hash" not in done.stdout
        return done.stdout

    return run


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Callable[[Pdb], PdbFile]]:
    """dumpkit's reader on a PDB."""
    files: List[PdbFile] = []

    def run(pdb: Pdb) -> PdbFile:
        path = tmp_path / f"made{len(files)}.pdb"
        path.write_bytes(pdb.file())
        files.append(PdbFile(str(path)))
        return files[-1]

    yield run
    for file in files:
        file.close()


def private() -> Pdb:
    return Pdb(driver(), [RESOURCES], typedefs={"SYNC_RESOURCES": RESOURCES})


def public(procedures: bool = False) -> Pdb:
    return Pdb(driver(), [RESOURCES], private=False, procedures=procedures)


def with_types(*types: Type, **facts: int) -> Pdb:
    image = Image("made.sys", BASE)
    image.section(".text", TEXT)
    image.set_codeview(CodeView("made.pdb", GUID))
    return Pdb(image, types, **facts)  # type: ignore[arg-type]


def size_of(name: str) -> int:
    return next(each.size for each in driver().functions if each.name == name)


def describe(wanted: Type) -> object:
    """A member's type in words that both sides have; records by name, for they may hold each other."""
    if isinstance(wanted, PointerType):
        return "pointer", describe(wanted.target)
    if isinstance(wanted, ArrayType):
        return "array", wanted.count, describe(wanted.element)
    if isinstance(wanted, BitfieldType):
        return "bits", wanted.position, wanted.length, describe(wanted.base)
    if isinstance(wanted, FunctionType):
        return "function", describe(wanted.result), [describe(each) for each in wanted.arguments]
    if isinstance(wanted, (RecordType, EnumType)):
        return type(wanted).__name__, wanted.size, "" if is_unnamed(wanted.name) else wanted.name
    return wanted


def same_type(wanted: Type, found: Type) -> bool:
    if isinstance(wanted, EnumType):
        assert isinstance(found, EnumType)
        return (wanted.size, list(wanted.enumerators)) == (found.size, list(found.enumerators))
    assert isinstance(wanted, RecordType)
    assert isinstance(found, RecordType)

    def members(record: RecordType) -> List[object]:
        return [(each.name, each.offset, str(describe(each.type))) for each in record.members]

    return (wanted.size, wanted.kind, members(wanted)) == (found.size, found.kind, members(found))


@needs_llvm
@pytest.mark.parametrize("pdb", [private(), public(procedures=True)], ids=["private", "public"])
def test_llvm_reads_every_stream_without_complaint(dump: Dump, pdb: Pdb):
    text = dump(pdb, "-all")
    complaints = [line for line in text.splitlines() if re.search(r"\b(error|invalid|corrupt)", line, re.IGNORECASE)]
    # The linker's own module of a public PDB has no stream.
    assert [line for line in complaints if "Module stream not present" not in line] == []
    assert "Has conflicting types: false" in text


@needs_llvm
def test_identity_and_ages_are_those_of_the_image(dump: Dump):
    text = dump(Pdb(driver(), age=3, info_age=5), "-summary")
    assert "GUID: {11223344-5566-7788-99AA-BBCCDDEEFF00}" in text
    assert "Age: 5" in text
    assert f"Signature: {0x656DE8A1}" in text
    assert "Is stripped: false" in text
    assert "Is stripped: true" in dump(public(), "-summary")
    assert Pdb(driver(), age=3).store_key == f"{GUID}3"


@needs_llvm
def test_llvm_lists_structures_unions_enumerations_and_bit_fields(dump: Dump):
    text = dump(private(), "-types")
    for line in (
        "- LF_MEMBER [name = `FileMutex`, Type = 0x",
        "type = 0x0022 (unsigned long), bit offset = 1, # bits = 31",
        "- LF_ENUMERATE [SyncLast = 74565]",
        "- LF_ENUMERATE [SyncInvalid = -1]",
        "unique name: `.?AU_SYNC_RESOURCES@@`",
        "options: has unique name, sizeof 96",
        "unique name: `.?AT<unnamed-tag>@@`",
        ", mode = pointer, opts = None, kind = ptr64",
        "return type = 0x0012 (long), # args = 2, param list = 0x",
    ):
        assert line in text, line
    forward = re.search(r"`_SYNC_RESOURCES`.*\n.*\n.*\n *options: forward ref \(-> (0x\w+)\)", text)
    assert forward is not None
    assert re.search(rf"{forward.group(1)} \| LF_STRUCTURE .* `_SYNC_RESOURCES`", text)


@needs_llvm
def test_llvm_finds_lines_and_files(dump: Dump):
    text = dump(private(), "-l", "-files")
    assert re.search(rf"{re.escape(SOURCE)} \(SHA-256: [0-9A-F]{{64}}\)", text)
    assert f"0001:000000F0-{0xF0 + size_of('FileCreationThread'):08X}, line/addr entries = 6" in text
    assert re.search(r"50 000000F0 +60 0000011B +63 00000136 +64 00000142", text)
    assert re.search(r"9 00000420 +15 00000460 +20 000004A0 +21 000004B2", text)


@needs_llvm
def test_llvm_lists_procedures_locals_and_inline_sites(dump: Dump):
    text = dump(private(), "-symbols", "-il", "-ids")
    size = size_of("FileCreationThread")
    assert re.search(rf"S_GPROC32 .* `FileCreationThread`\n.*addr = 0001:0240, code size = {size}\n", text)
    assert re.search(r"S_LPROC32 .* `CountFiles`\n.*addr = 0001:1280, code size = 3", text)
    assert re.search(r"S_REGREL32 .* `SyncRes`\n *type = .*\(_SYNC_RESOURCES\*\), register = RSP, offset = 64", text)
    assert re.search(r"S_INLINESITE .*\n *inlinee = \w+ \(ExInitializeFastMutex\)", text)
    assert "code 0x70 (+0x0)" in text
    assert re.search(rf"\| 26000 \| {re.escape(HEADER)}", text)
    assert "name = KeInitializeEvent, type = 0x" in text


@needs_llvm
@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("LogCurrentIrql", "S_PROCREF"),
        ("CountFiles", "S_LPROCREF"),
        ("FileCount", "S_LDATA32"),
        ("Resources", "S_GDATA32"),
    ],
)
def test_llvm_finds_a_global_by_its_hash(dump: Dump, name: str, record: str):
    text = dump(private(), "-globals", f"-global-name={name}", "-global-name=Missing")
    assert re.search(rf"Global Name `{name}`\n *\d+ \| {record} \[size = \d+\] `{name}`", text)


@needs_llvm
def test_llvm_lists_publics_by_hash_and_by_address(dump: Dump):
    text = dump(public(), "-publics", "-public-extras")
    assert re.search(r"S_PUB32 .* `LogCurrentIrql`\n *flags = function, addr = 0001:1056", text)
    assert re.search(r"S_PUB32 .* `__imp_ZwCreateFile`\n *flags = none, addr = 0002:0040", text)
    records = dict(re.findall(r"(\d+) \| S_PUB32 .* `(.*)`", text))
    order = re.findall(r"off = (\d+)", text[text.index("Address Map") :])
    assert [records[offset] for offset in order if records[offset][0] != "_"] == [
        "FileCreationThread",
        "LogCurrentIrql",
        "CountFiles",
        "Resources",
        "FileCount",
    ]


@needs_llvm
def test_a_static_function_is_public_only_where_privates_are_left_out(dump: Dump):
    assert "`CountFiles`" not in dump(private(), "-publics")
    assert "`CountFiles`" in dump(public(), "-publics")


@needs_llvm
def test_a_public_pdb_may_hold_lengths_of_functions_and_nothing_more(dump: Dump):
    text = dump(public(procedures=True), "-symbols", "-l")
    size = size_of("LogCurrentIrql")
    assert re.search(rf"S_LPROC32 .* `LogCurrentIrql`\n.*code size = {size}\n *type = `<no type>`", text)
    assert SOURCE not in text
    assert "S_REGREL32" not in text


@needs_llvm
def test_llvm_finds_sections_and_who_contributed_what(dump: Dump):
    text = dump(private(), "-section-headers", "-section-map", "-section-contribs", "-modules")
    assert re.search(r"SECTION HEADER #5\n +INIT name\n +\w+ virtual size\n +6000 virtual address", text)
    assert f"`{OBJECT}`" in text
    assert f"SC[.text]   | mod = 1, 0001:0240, size = {size_of('FileCreationThread')}," in text
    assert "flags = 32 bit addr | absolute addr" in text


@needs_llvm
@pytest.mark.parametrize("page_size", [512, 1024, 2048, 4096])
def test_containers_of_every_page_size_and_of_many_pages(dump: Dump, page_size: int):
    # Above 2 MB of 512-byte pages, the maps of free pages and the directory's own list take several pieces.
    many = [struct(f"_T{number:05}", 8, [(f"Member{number:04}" * 20, 0, LONG)]) for number in range(4000)]
    pdb = with_types(*many, page_size=page_size)
    text = dump(pdb, "-summary", "-types")
    assert f"Block Size: {page_size}\n" in text
    assert text.count("LF_STRUCTURE") == 4000
    assert f"Number of blocks: {len(pdb.file()) // page_size}\n" in text


@needs_llvm
def test_a_list_of_members_beyond_64_kilobytes_goes_on(dump: Dump):
    values = [(f"Value_of_a_long_enumeration_{number}", number * 3 - 5000) for number in range(5000)]
    text = dump(with_types(enum("_LONG", values)), "-types")
    assert len(re.findall("LF_ENUMERATE", text)) == 5000
    assert text.count("LF_INDEX") == text.count("LF_FIELDLIST") - 1 >= 2


def test_dumpkit_reads_a_long_list_in_its_order(read: Callable[[Pdb], PdbFile]):
    values = [(f"Value_of_a_long_enumeration_{number}", number * 3 - 5000) for number in range(5000)]
    found = read(with_types(enum("_LONG", values))).type("_LONG")
    assert isinstance(found, EnumType)
    assert list(found.enumerators) == values


@pytest.mark.parametrize(
    "value", [0, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 1 << 31, 1 << 32, (1 << 64) - 1, -1, -129, -(1 << 31), -(1 << 63)]
)
def test_numbers_of_every_size_come_back(read: Callable[[Pdb], PdbFile], value: int):
    found = read(with_types(enum("_E", [("It", value)], 8, signed=value < 1 << 63))).type("_E")
    assert isinstance(found, EnumType)
    assert list(found.enumerators) == [("It", value)]


def test_dumpkit_reads_every_type_back(read: Callable[[Pdb], PdbFile]):
    file = read(private())
    for wanted in (RESOURCES, FAST_MUTEX):
        found = file.type(wanted.name)
        assert found is not None
        assert same_type(wanted, found)
    callback = file.type("_SYNC_RESOURCES")
    assert isinstance(callback, RecordType)
    place = callback.find("Callback")
    assert place is not None
    assert isinstance(place[1], PointerType)
    assert isinstance(place[1].target, FunctionType)
    assert [type(each).__name__ for each in place[1].target.arguments] == ["PointerType", "BaseType"]


def test_what_is_only_declared_is_only_declared(read: Callable[[Pdb], PdbFile]):
    found = read(private()).type("_DRIVER_OBJECT")
    assert isinstance(found, RecordType)
    assert (found.size, list(found.members)) == (0, [])


def test_types_that_hold_each_other_end(read: Callable[[Pdb], PdbFile]):
    first = struct("_FIRST", 8, [("Other", 0, pointer(lambda: second))])
    second = struct("_SECOND", 16, [("Whole", 0, first), ("Back", 8, pointer(pointer(first)))])
    file = read(with_types(first))
    found = file.type("_SECOND")
    assert found is not None
    assert same_type(second, found)


def test_two_unnamed_records_of_one_name_stay_two(read: Callable[[Pdb], PdbFile]):
    outer = struct(
        "_OUTER",
        12,
        [("A", 0, struct("", 4, [("X", 0, LONG)])), ("B", 4, struct("", 8, [("Y", 0, bits(ULONGLONG, 3, 60))]))],
    )
    found = read(with_types(outer)).type("_OUTER")
    assert isinstance(found, RecordType)
    assert found.path("A.X") is not None
    assert found.path("B.Y") is not None
    assert found.path("B.X") is None


def test_dumpkit_finds_names_both_ways(read: Callable[[Pdb], PdbFile]):
    for pdb in (private(), public(), public(procedures=True)):
        file = read(pdb)
        for function in pdb.image.functions:
            found = file.find(function.name)
            assert found is not None
            assert found.rva == function.rva
        nearest = file.nearest(0x14B2)
        assert nearest is not None
        assert (nearest.name, nearest.rva) == ("LogCurrentIrql", 0x1420)


def test_dumpkit_finds_the_lines_of_return_addresses(read: Callable[[Pdb], PdbFile]):
    file = read(private())
    for rva, number in ((0x1142, 64), (0x1141, 63), (0x14B2, 21), (0x14B1, 20), (0x1500, 80)):
        line = file.line(rva)
        assert line is not None
        assert (line.file, line.number) == (SOURCE, number)
    assert file.line(0x1630) is None
    assert read(public()).line(0x1142) is None


def test_dumpkit_finds_what_is_inlined_where(read: Callable[[Pdb], PdbFile]):
    file = read(private())

    def inlined(offset: int) -> List[object]:
        return [(each.name, each.file, each.number) for each in file.inlines(0x10F0 + offset)]

    assert inlined(0x5F) == []
    assert inlined(0x60) == [("ExInitializeFastMutex", HEADER, 26002)]
    assert inlined(0x77) == [("KeInitializeEvent", HEADER, 301), ("ExInitializeFastMutex", HEADER, 26005)]
    assert inlined(0x78) == inlined(0x8F) == []
    assert inlined(0x90) == [("ExInitializeFastMutex", HEADER, 26001)]
    assert inlined(0xA0) == []


def test_pdbparse_opens_the_container(tmp_path: Path):
    pdbparse = pytest.importorskip("pdbparse", reason="pdbparse is not installed")
    path = tmp_path / "made.pdb"
    path.write_bytes(private().file())
    streams = pdbparse.parse(str(path), fast_load=True).streams
    with path.open("rb") as file:
        file.seek(streams[1].pages[0] * 4096 + 12)
        assert file.read(4) == bytes.fromhex("44332211")


def test_symbolic_finds_functions_lines_and_inlined_calls(tmp_path: Path):
    symbolic = pytest.importorskip("symbolic.debuginfo", reason="symbolic is not installed")
    path = tmp_path / "made.pdb"
    path.write_bytes(private().file())
    cache = symbolic.Archive.open(str(path)).get_object(arch="x86_64").make_symcache()

    def found(rva: int) -> List[object]:
        return [(each.symbol.split("(")[0], each.line, each.full_path) for each in cache.lookup(rva)]

    assert found(0x14B2) == [("LogCurrentIrql", 21, SOURCE)]
    assert found(0x1500) == [("CountFiles", 80, SOURCE)]
    assert found(0x10F0 + 0x75) == [
        ("KeInitializeEvent", 301, HEADER),
        ("ExInitializeFastMutex", 26005, HEADER),
        ("FileCreationThread", 66, SOURCE),
    ]


def test_equal_input_gives_equal_bytes():
    assert private().file() == private().file()
    assert public().file() != private().file()


def test_an_image_that_names_no_pdb_has_none():
    with pytest.raises(ValueError, match=r"made\.sys names no PDB"):
        Pdb(Image("made.sys", BASE))


def test_a_place_outside_every_section_is_refused():
    pdb = with_types(INT, VOID)
    pdb.image.label("Beyond", 0x9000)
    with pytest.raises(ValueError, match="no section at 0x9000"):
        pdb.file()


@pytest.mark.slow
@needs_symbols
@needs_llvm
def test_every_type_and_name_of_a_kernel_comes_back(tmp_path: Path, dump: Dump, read: Callable[[Pdb], PdbFile]):
    table = IsfFile(str(SYMBOLS / "isf" / f"{WINDOWS_11}-1.json.xz"), cache=tmp_path / "cache")
    types = [found for found in map(table.type, table.type_names()) if found is not None and not is_unnamed(found.name)]
    image = Image("ntkrnlmp.exe", BASE)
    image.section(".text", TEXT, size=0xC00000)
    image.section(".data", DATA, size=0x300000)
    for symbol in table.symbols():
        image.label(symbol.name, symbol.rva, symbol.rva < 0xC00000)
    image.set_codeview(CodeView("ntkrnlmp.pdb", WINDOWS_11))
    pdb = Pdb(image, types, private=False)
    assert len(re.findall(r"LF_STRUCTURE|LF_UNION", dump(pdb, "-types"))) > 2000
    file = read(pdb)
    assert len(types) > 1500
    for wanted in types:
        found = file.type(wanted.name)
        assert found is not None
        # A table tells nothing of functions, and spells some built-in types in another way.
        assert found.size == wanted.size
        if isinstance(wanted, RecordType):
            assert isinstance(found, RecordType)
            assert [each[:2] for each in wanted.members] == [each[:2] for each in found.members]
    for symbol in table.symbols():
        again = file.find(symbol.name)
        assert again is not None
