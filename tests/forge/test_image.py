"""Forged images, held against readers that know nothing of the forge: pefile, llvm-readobj, capstone, and dumpkit's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from struct import pack_into, unpack_from
from typing import Any, List

import pytest
from dumpkit.symbols.pe import ImageFile, MappedImage

from tests.flat_memory import FlatMemory
from tests.forge.assembly import Code, frame_code
from tests.forge.image import Image
from tests.forge.image_sections import DATA, INIT, PDATA, RDATA, RELOC, TEXT
from tests.forge.image_tables import POGO, CodeView, Export, Import, ImportedModule, pogo
from tests.forge.sample_driver import BASE, GUID, IMPORTS, PDB_NAME, driver
from tests.forge.unwind import Alloc, MachineFrame, Push, Save, SaveXmm, SetFrame, Unwind

needs_readobj = pytest.mark.skipif(shutil.which("llvm-readobj") is None, reason="llvm-readobj is not installed")


def small_image(name: str = "made.sys") -> Image:
    image = Image(name, BASE)
    for section, flags in ((".text", TEXT), (".rdata", RDATA), (".data", DATA), (".pdata", PDATA)):
        image.section(section, flags)
    return image


def parse(data: bytes) -> Any:
    return pytest.importorskip("pefile", reason="pefile is not installed").PE(data=data)


def as_file(memory: bytes, new_header: int) -> bytes:
    """An image out of memory as a reader of files wants it: what lies at an RVA lies there in the file too."""
    image = bytearray(memory)
    count, optional = unpack_from("<H12xH", image, new_header + 6)
    for number in range(count):
        header = new_header + 24 + optional + 40 * number
        size, rva = unpack_from("<II", image, header + 8)
        pack_into("<II", image, header + 16, -(-size // 0x200) * 0x200, rva)
    debug, size = unpack_from("<II", image, new_header + 0xB8)
    for entry in range(debug, debug + size, 28):
        pack_into("<I", image, entry + 24, unpack_from("<I", image, entry + 20)[0])
    return bytes(image)


def disassemble(image: Image, rva: int, count: int) -> List[str]:
    capstone = pytest.importorskip("capstone", reason="capstone is not installed")
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    code = image.map()[rva : rva + 16 * count]
    return [f"{each.mnemonic} {each.op_str}".strip() for each in decoder.disasm(code, rva, count)]


def read_unwind_codes(tmp_path: Path, code: Code) -> List[str]:
    image = small_image()
    image.function("only", code)
    path = tmp_path / "made.sys"
    path.write_bytes(image.file())
    done = subprocess.run(["llvm-readobj", "--unwind", str(path)], capture_output=True, text=True, check=True)
    return [line.strip().split(": ", 1)[1] for line in done.stdout.splitlines() if line.strip().startswith("0x")]


def test_pefile_finds_nothing_to_complain_about():
    image = parse(driver().file())
    # It remarks on bytes that are frequent: padding.
    assert [text for text in image.get_warnings() if "makes up" not in text] == []
    assert image.verify_checksum()


def test_sections_have_the_names_places_and_attributes_that_they_were_given():
    found = [
        (section.Name.rstrip(b"\0").decode(), section.VirtualAddress, section.Characteristics)
        for section in parse(driver().file()).sections
    ]
    assert found[:3] == [(".text", 0x1000, TEXT), (".rdata", 0x3000, RDATA), (".data", 0x4000, DATA)]
    assert found[4] == ("INIT", 0x6000, INIT)


def test_section_headers_begin_where_a_debugger_shows_their_names():
    assert driver().map()[0x1F8:0x200] == b".text\0\0\0"
    assert driver().map()[0x21F:0x226] == b"h.rdata"


def test_import_tables_lie_where_they_were_put():
    image = parse(driver().file())
    directory = image.OPTIONAL_HEADER.DATA_DIRECTORY
    assert directory[1].VirtualAddress == 0x6030
    assert directory[12].VirtualAddress == 0x3000
    found = [
        (module.dll.decode(), [each.name.decode() for each in module.imports])
        for module in image.DIRECTORY_ENTRY_IMPORT
    ]
    assert found == [(module.name, [each.name for each in module.imports]) for module in IMPORTS]
    assert [each.address - image.OPTIONAL_HEADER.ImageBase for each in image.DIRECTORY_ENTRY_IMPORT[1].imports] == [
        0x3020,
        0x3028,
    ]


def test_bound_slots_hold_addresses_in_memory_and_names_in_the_file():
    image = driver()
    slots = unpack_from("<6Q", image.map(), 0x3000)
    addresses = [each.address for each in IMPORTS[0].imports]
    assert list(slots) == [*addresses, 0, 0xFFFFF80204728670, 0xFFFFF80204413730]
    with_name = unpack_from("<Q", image.file(), image.named_section(".rdata").file_offset)[0]
    assert image.map()[with_name + 2 : with_name + 18] == b"WdfVersionUnbind"


def test_an_import_by_ordinal_and_one_that_was_not_bound():
    image = small_image()
    image.add_imports(
        [ImportedModule("hal.dll", [Import("first", 0x1234, ordinal=7), Import("second")])], section=".rdata"
    )
    imports = parse(image.file()).DIRECTORY_ENTRY_IMPORT[0].imports
    assert (imports[0].ordinal, imports[0].name, imports[1].name) == (7, None, b"second")
    assert unpack_from("<Q", image.map(), image.rva_of("__imp_first"))[0] == 0x1234
    assert unpack_from("<Q", image.map(), image.rva_of("__imp_second"))[0] < image.size


def test_delay_imports_are_delay_imports():
    image = small_image()
    image.add_imports([ImportedModule("ext.sys", [Import("Late", 0x77)])], section=".rdata", delayed=True)
    found = parse(image.file())
    assert [each.name for each in found.DIRECTORY_ENTRY_DELAY_IMPORT[0].imports] == [b"Late"]
    assert not hasattr(found, "DIRECTORY_ENTRY_IMPORT")


def test_exports_with_a_forwarder_and_one_without_a_name():
    image = small_image()
    image.set_exports([Export("Zeta", "late"), Export("Alpha", "NTOSKRNL.RtlInitString"), Export(None, 0x1100)])
    image.function("late", Code().ret(), 0x1050)
    symbols = parse(image.file()).DIRECTORY_ENTRY_EXPORT.symbols
    assert {(each.name, each.ordinal, each.forwarder) for each in symbols} == {
        (b"Zeta", 1, None),
        (b"Alpha", 2, b"NTOSKRNL.RtlInitString"),
        (None, 3, None),
    }
    assert next(each.address for each in symbols if each.name == b"Zeta") == 0x1050


def test_dumpkit_reads_the_same_codeview_record_and_exports_from_file_and_memory(tmp_path: Path):
    image = driver()
    image.set_exports([Export("LogCurrentIrql", "LogCurrentIrql")])
    path = tmp_path / "TestDriver.sys"
    path.write_bytes(image.file())
    mapped = MappedImage(FlatMemory({BASE: image.map()}), BASE)
    with ImageFile(str(path)) as file:
        for read in (file, mapped):
            assert read.codeview() == (PDB_NAME, GUID, 1)
            assert (read.timestamp, read.size, read.checksum) == (image.stamp, image.size, image.checksum)
            table = read.exports()
            assert table is not None
            assert [(each.name, each.rva) for each in table.exports] == [("LogCurrentIrql", 0x1420)]


def test_pefile_reads_the_image_back_from_memory():
    image = driver()
    read = parse(as_file(image.map(), image.new_header))
    assert read.OPTIONAL_HEADER.ImageBase == BASE
    assert [module.dll for module in read.DIRECTORY_ENTRY_IMPORT] == [b"WDFLDR.SYS", b"ntoskrnl.exe"]
    assert read.DIRECTORY_ENTRY_DEBUG[0].entry.PdbFileName.rstrip(b"\0").decode() == PDB_NAME
    assert len(read.DIRECTORY_ENTRY_EXCEPTION) == 2


def test_the_debug_directory_names_pdb_and_groups_where_they_were_put():
    image = small_image()
    image.set_codeview(CodeView("made.pdb", GUID, 5), 0x2580)
    image.add_debug_data(POGO, pogo([(0x1000, 0x100, ".text$mn"), (0x2000, 8, ".idata$5")]), 0x25A4)
    image.debug_rva = 0x2100
    read = parse(image.file())
    assert read.OPTIONAL_HEADER.DATA_DIRECTORY[6].VirtualAddress == 0x2100
    assert [(each.struct.Type, each.struct.AddressOfRawData) for each in read.DIRECTORY_ENTRY_DEBUG] == [
        (2, 0x2580),
        (13, 0x25A4),
    ]
    assert read.DIRECTORY_ENTRY_DEBUG[0].entry.Age == 5
    assert image.map()[0x2580:0x2584] == b"RSDS"
    assert image.map()[0x25B0:0x25B9] == b".text$mn\0"


def test_the_version_resource_says_what_it_was_given():
    image = parse(driver().file())
    fixed = image.VS_FIXEDFILEINFO[0]
    assert (fixed.FileVersionMS, fixed.FileVersionLS) == (0x10002, 0x30004)
    strings = {}
    for info in image.FileInfo[0]:
        for table in getattr(info, "StringTable", ()):
            strings.update(table.entries)
    assert strings == {b"FileDescription": b"A forged driver", b"OriginalFilename": b"TestDriver.sys"}


def test_the_guard_pointer_is_where_it_was_put_and_is_relocated():
    image = driver()
    assert unpack_from("<Q", image.map(), 0x30D0)[0] == BASE + 0x1630
    read = parse(image.file())
    preferred = read.OPTIONAL_HEADER.ImageBase
    assert read.get_qword_at_rva(0x30D0) == preferred + 0x1630
    assert read.DIRECTORY_ENTRY_LOAD_CONFIG.struct.GuardCFCheckFunctionPointer == preferred + 0x30D0
    relocated = {entry.rva for block in read.DIRECTORY_ENTRY_BASERELOC for entry in block.entries if entry.type == 10}
    assert 0x30D0 in relocated


def test_relocating_the_file_gives_what_memory_holds():
    image = driver()
    read = parse(image.file())
    read.relocate_image(BASE)
    assert read.get_qword_at_rva(0x30D0) == unpack_from("<Q", image.map(), 0x30D0)[0]


def test_strings_lie_at_their_addresses():
    memory = driver().map()
    assert memory[0x1FC0:].startswith("PASSIVE_LEVEL\0".encode("utf-16-le"))
    assert memory[0x2050:].startswith(b"Hello, World!\r\n\0")
    assert memory[0x4D:].startswith(b"!This program cannot be run in DOS mode.\r\r\n$")


def test_a_call_returns_where_it_was_asked_to():
    image = driver()
    assert disassemble(image, 0x1142 - 5, 1) == ["call 0x1420"]
    assert disassemble(image, 0x14B2 - 6, 3) == [
        "call qword ptr [rip + 0x1b76]",
        "test eax, eax",
        "lea rcx, [rip + 0xb05]",
    ]


def test_a_whole_function_is_written_from_its_frame_and_its_calls():
    image = small_image()
    image.function("inner", Code().ret(), 0x1800)
    function = image.function("outer", frame_code(0x58, [(0x30, "inner")], size=0x60, saves=("rbx", "r14"), home=1))
    assert function.size == 0x60
    listing = disassemble(image, 0x1000, 40)
    assert listing[:4] == ["mov qword ptr [rsp + 8], rcx", "push rbx", "push r14", "sub rsp, 0x48"]
    assert disassemble(image, 0x102B, 1) == ["call 0x1800"]
    assert disassemble(image, 0x1060 - 8, 4) == ["add rsp, 0x48", "pop r14", "pop rbx", "ret"]


@pytest.mark.parametrize(
    ("code", "listing"),
    [
        (Code().push("r12").pop("rbp").pop("r9"), ["push r12", "pop rbp", "pop r9"]),
        (Code().load("rax", "rbp").load("r8", "r13", -8), ["mov rax, qword ptr [rbp]", "mov r8, qword ptr [r13 - 8]"]),
        (Code().store("r15", "r12", 0x400), ["mov qword ptr [r12 + 0x400], r15"]),
        (Code().move("r10", "rcx").lea("rdi", "rsp", 0x20), ["mov r10, rcx", "lea rdi, [rsp + 0x20]"]),
        (Code().jump(0x1000).jump_through(0x2000), ["jmp 0x1000", "jmp qword ptr [rip + 0xff4]"]),
        (
            Code().call_import(0x2000).int3().ret(),
            ["call qword ptr [rip + 0xffa]", "nop dword ptr [rax + rax]", "int3", "ret"],
        ),
        (Code().prologue(SetFrame("rbp"), SetFrame("r13", 0x80)), ["mov rbp, rsp", "lea r13, [rsp + 0x80]"]),
        (Code().prologue(Alloc(0x48), SaveXmm(9, 0x20)), ["sub rsp, 0x48", "movaps xmmword ptr [rsp + 0x20], xmm9"]),
        (Code().prologue(Save("rbx", 0x38), Push("rdi"), Alloc(0x20)), ["mov qword ptr [rsp + 0x10], rbx", "push rdi"]),
    ],
)
def test_instructions_are_what_they_are_called(code: Code, listing: List[str]):
    image = small_image()
    image.function("only", code, 0x1000)
    assert disassemble(image, 0x1000, len(listing)) == listing


@pytest.mark.parametrize("size", range(40))
def test_padding_is_as_long_as_it_was_asked_to_be_and_nothing_but_padding(size: int):
    assert len(Code().nop(size)) == size
    image = small_image()
    image.function("only", Code().nop(size).ret(), 0x1000)
    listing = disassemble(image, 0x1000, 9)
    assert {line.split()[0] for line in listing[: listing.index("ret")]} <= {"nop"}


@needs_readobj
@pytest.mark.parametrize(
    ("code", "codes"),
    [
        (
            Code().prologue(Push("rbp"), Push("r15"), Alloc(0x80)),
            ["ALLOC_SMALL size=128", "PUSH_NONVOL reg=R15", "PUSH_NONVOL reg=RBP"],
        ),
        (Code().prologue(Alloc(0x88)), ["ALLOC_LARGE size=136"]),
        (Code().prologue(Alloc(0x80008)), ["ALLOC_LARGE size=524296"]),
        (
            Code().prologue(Alloc(0x38), SetFrame("rbp", 0x20)),
            ["SET_FPREG reg=RBP, offset=0x20", "ALLOC_SMALL size=56"],
        ),
        (Code().prologue(Save("rbx", 0x30), Alloc(0x28)), ["ALLOC_SMALL size=40", "SAVE_NONVOL reg=RBX, offset=0x30"]),
        (
            Code().prologue(Alloc(0x58), SaveXmm(15, 0x20)),
            ["SAVE_XMM128 reg=XMM15, offset=0x20", "ALLOC_SMALL size=88"],
        ),
        (
            Code().prologue(Alloc(0x100028), Save("r14", 0x80000), SaveXmm(7, 0x100010)),
            [
                "SAVE_XMM128_FAR reg=XMM7, offset=0x100010",
                "SAVE_NONVOL_FAR reg=R14, offset=0x80000",
                "ALLOC_LARGE size=1048616",
            ],
        ),
        (Code().prologue(MachineFrame(True), Push("rbp")), ["PUSH_NONVOL reg=RBP", "PUSH_MACHFRAME errcode=yes"]),
        (Code().prologue(MachineFrame(), Alloc(8)), ["ALLOC_SMALL size=8", "PUSH_MACHFRAME errcode=no"]),
    ],
)
def test_llvm_reads_the_unwind_codes_of_each_operation(tmp_path: Path, code: Code, codes: List[str]):
    assert read_unwind_codes(tmp_path, code.epilogue()) == codes


@needs_readobj
def test_a_part_of_a_function_is_chained_to_the_function(tmp_path: Path):
    image = small_image()
    image.function("whole", Code().prologue(Push("rbx"), Alloc(0x20)).epilogue(), 0x1100)
    image.function("part", Code().nop(8).ret(), 0x1010, unwind=Unwind(chained_to="whole"))
    (tmp_path / "made.sys").write_bytes(image.file())
    command = ["llvm-readobj", "--unwind", str(tmp_path / "made.sys")]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    chained = text[text.index("Chained {") :]
    assert "StartAddress: (0x140001100)" in chained.splitlines()[1]


def test_an_epilogue_code_says_where_the_epilogue_is():
    image = small_image()
    code = Code().prologue(Push("rbx"), Alloc(0x20)).nop(8).epilogue()
    image.function("only", code, 0x1000, unwind_rva=0x2000)
    assert image.map()[0x2000:0x2004] == bytes((1, 5, 2, 0))
    described = Unwind(tuple(code.operations), code.prologue_size, epilogue_size=6, epilogues=(6, 0x123))
    other = small_image()
    other.function("only", code, 0x1000, unwind=described, unwind_rva=0x2000)
    assert other.map()[0x2000:0x2008] == bytes((2, 5, 4, 0, 6, 0x16, 0x23, 0x16))


def test_a_handler_stands_behind_the_unwind_codes():
    image = small_image()
    image.function("handler", Code().ret(), 0x1800)
    code = Code().prologue(Alloc(0x28)).epilogue()
    unwind = Unwind(tuple(code.operations), 4, handler="handler", handler_data=b"DATA")
    image.function("guarded", code, 0x1000, unwind=unwind, unwind_rva=0x2000)
    assert image.map()[0x2000:0x2010] == bytes((0x09, 4, 1, 0, 4, 0x42, 0, 0)) + b"\0\x18\0\0DATA"


def test_functions_in_pdata_ascend_whatever_their_order():
    image = small_image()
    for rva in (0x1800, 0x1200, 0x1500):
        image.function(f"at_{rva:x}", frame_code(0x28), rva)
    rows = [unpack_from("<I", image.map(), 0x4000 + 12 * row)[0] for row in range(3)]
    assert rows == [0x1200, 0x1500, 0x1800]


def test_what_overlaps_or_does_not_fit_is_refused():
    image = small_image()
    image.function("first", Code().nop(0x20), 0x1000)
    with pytest.raises(ValueError, match="overlaps 0x1000 to 0x1020"):
        image.function("second", Code().ret(), 0x101F)
    with pytest.raises(ValueError, match=r"do not fit \.rdata"):
        image.place(bytes(8), rva=0x2FFC)
    with pytest.raises(KeyError, match="no section at 0x900"):
        image.place(b"x", rva=0x900)
    with pytest.raises(ValueError, match="no room"):
        image.place(bytes(0x1001))
    with pytest.raises(ValueError, match=r"section \.late cannot begin at 0x1000"):
        image.section(".late", DATA, 0x1000)


def test_a_call_to_nowhere_is_refused():
    image = small_image()
    image.function("only", Code().call("missing"))
    with pytest.raises(KeyError, match="nothing called missing"):
        image.file()


def test_an_image_that_was_built_takes_nothing_more():
    image = small_image()
    image.file()
    with pytest.raises(ValueError, match=r"made\.sys was built already"):
        image.function("late", Code().ret())


def test_pieces_without_an_rva_go_where_there_is_room():
    image = small_image()
    image.place(bytes(0x10), rva=0x2010)
    assert [image.place(bytes(8)) for _ in range(3)] == [0x2000, 0x2008, 0x2020]


def test_only_pages_that_hold_something_need_memory():
    image = Image("wide.sys", BASE)
    image.section(".text", TEXT, size=0x100000)
    image.section("INIT", INIT)
    image.section(".reloc", RELOC)
    image.function("far", Code().ret(), 0x80000)
    image.function("start", Code().ret(), section="INIT")
    assert [rva for rva, _ in image.pages()] == [0, 0x80000, 0x101000]
    assert [rva for rva, _ in image.pages(discard=True)] == [0, 0x80000]
    assert image.map()[0x80000:0x80001] == b"\xc3"
    assert len(image.map()) == image.size == 0x103000


def test_equal_input_gives_equal_bytes():
    assert driver().file() == driver().file()
    assert driver().map() == driver().map()


def test_a_reproducible_image_is_stamped_by_its_content(tmp_path: Path):
    def image(byte: int) -> Image:
        made = Image("made.sys", BASE, timestamp=None)
        made.section(".rdata", RDATA)
        made.place(bytes((byte,)))
        return made

    assert image(1).stamp == image(1).stamp != image(2).stamp
    path = tmp_path / "made.sys"
    path.write_bytes(image(1).file())
    with ImageFile(str(path)) as read:
        assert read.is_reproducible
        assert read.timestamp == image(1).stamp
    assert parse(image(1).file()).DIRECTORY_ENTRY_DEBUG[0].struct.Type == 16


def test_the_store_key_is_stamp_and_size():
    assert driver(0x1234).store_key == "000012349000"
