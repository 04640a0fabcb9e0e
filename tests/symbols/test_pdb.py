"""A PDB as a symbol file: names, places, lines, inlined functions and types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dumpkit.errors import SymbolError
from dumpkit.symbols.pdb import PdbFile
from dumpkit.symbols.symbol_file import Location, Symbol
from dumpkit.symbols.types import ArrayType, BaseType, BitfieldType, EnumType, FunctionType, PointerType, RecordType

from tests.shared import SYMBOLS, needs_symbols

KERNEL = SYMBOLS / "pdb" / "ntkrnlmp-19041-public.pdb"
USER32 = SYMBOLS / "pdb" / "user32.pdb"
AMDPPM = SYMBOLS / "store" / "amdppm.pdb" / "1C19FDDB27BB3399D9B45973EFEAFCF31" / "amdppm.pdb"


@pytest.fixture
def driver(compiled):
    pdb = PdbFile(str(compiled("driver")))
    yield pdb
    pdb.close()


@pytest.fixture
def shapes(compiled):
    pdb = PdbFile(str(compiled("shapes")))
    yield pdb
    pdb.close()


@pytest.fixture
def amdppm():
    pdb = PdbFile(str(AMDPPM))
    yield pdb
    pdb.close()


def start(pdb: PdbFile, name: str) -> int:
    found = pdb.find(name)
    assert found is not None, name
    return found.rva


@needs_symbols
def test_a_pdb_is_identified_by_its_guid_and_the_age_of_its_dbi_stream(amdppm):
    # The info stream counts three writes; symbol stores know this file by age 1.
    assert (amdppm.guid, amdppm.age) == ("1C19FDDB27BB3399D9B45973EFEAFCF3", 1)
    assert amdppm.image_info.machine == 0x8664 and amdppm.image_info.stripped


def test_a_function_is_found_by_name_with_its_size(driver):
    found = driver.find("StaticRoutine")
    assert found is not None and found.is_function and found.size > 0x20
    assert driver.nearest(found.rva) == found
    assert driver.nearest(found.rva + 5) == found


def test_names_are_found_in_their_own_case_and_on_request_in_any(driver):
    assert driver.find("driverentry") is None
    assert driver.find_in_any_case("driverentry") == driver.find("DriverEntry")


def test_a_name_that_is_not_there_is_none(driver):
    assert driver.find("NoSuchRoutine") is None
    assert driver.find_in_any_case("NoSuchRoutine") is None
    assert driver.type("_NO_SUCH_TYPE") is None
    assert driver.type_of("NoSuchRoutine") is None


def test_of_functions_folded_into_one_the_first_of_the_file_is_shown(driver):
    first, second = driver.find("SameAsOther"), driver.find("OtherAsSame")
    assert first is not None and second is not None and first.rva == second.rva
    assert driver.nearest(first.rva + 1) == first
    assert [each.name for each in driver.symbols() if each.rva == first.rva] == ["SameAsOther", "OtherAsSame"]


@needs_symbols
def test_of_public_names_at_one_place_the_first_in_the_order_of_characters_is_shown(amdppm):
    names = [each.name for each in amdppm.symbols() if each.rva == start(amdppm, "PerfControlFeedback")]
    assert len(names) == 7 and names[0] == "AcpiCStateIdleCancel"
    nearest = amdppm.nearest(start(amdppm, "PerfControlFeedback") + 1)
    assert nearest is not None and nearest.name == "AcpiCStateIdleCancel"


def test_a_variable_inside_a_function_is_seen_by_address_only(driver):
    counter = start(driver, "StaticCounter")
    nearest = driver.nearest(counter + 4)
    assert nearest is not None and nearest.name == "StaticRoutine::LocalStatic"
    assert "StaticRoutine::LocalStatic" not in {each.name for each in driver.symbols()}


def test_string_literals_are_passed_over_unless_the_engines_own_answer_is_wanted(driver):
    literal = next(each for each in driver.symbols() if each.name == "`string'")
    assert literal.linkage.startswith("??_C@")
    assert driver.nearest(literal.rva + 1) is None
    assert driver.locate(literal.rva + 1) == Location(literal, 1)


def test_a_place_whose_section_has_no_symbols_is_nearest_to_none_and_located_without_displacement(driver):
    unwind = next(section for section in driver.sections.sections if section.name == ".pdata")
    assert driver.nearest(unwind.rva + 8) is None
    located = driver.locate(unwind.rva + 8)
    assert located is not None and located.displacement is None


def test_headers_are_located_at_the_first_symbol_without_displacement(driver):
    located = driver.locate(0x10)
    assert located is not None and located.displacement is None and located.symbol.name == "SameAsOther"


@needs_symbols
def test_in_front_of_the_first_symbol_of_its_section_a_displacement_is_negative(amdppm):
    first = next(each for each in amdppm.symbols())
    assert amdppm.locate(first.rva - 8) == Location(first, -8)


def test_the_slack_behind_a_section_counts_to_its_last_symbol(driver):
    paged = driver.find("PagedRoutine")
    assert paged is not None
    assert driver.locate(paged.rva + 0xFF0) == Location(paged, 0xFF0)


@needs_symbols
def test_a_rearranged_image_is_read_through_its_omap_tables():
    pdb = PdbFile(str(USER32))
    assert start(pdb, "CreateMDIChild") == 0x229D0
    located = pdb.locate(0x22D0)
    # A block of the function lies elsewhere now: it counts from where the compiler had it.
    assert located is not None and (located.symbol.name, located.symbol.rva) == ("GetActiveKeyboardName", 0x21A8)
    assert located.displacement == 0x160 != 0x22D0 - 0x21A8


@needs_symbols
def test_c_names_lose_an_underscore_and_are_found_without_it(amdppm):
    found = amdppm.find("_imp_HalGetProcessorIdByNtNumber")
    assert found == Symbol(0x1B000, "_imp_HalGetProcessorIdByNtNumber", 0, False, "__imp_HalGetProcessorIdByNtNumber")
    assert amdppm.find("__imp_HalGetProcessorIdByNtNumber") == found


@needs_symbols
def test_every_name_shown_for_the_kernel_is_found_again():
    pdb = PdbFile(str(KERNEL))
    names = {each.name for each in pdb.symbols() if not each.name.endswith("`string'")}
    assert len(names) > 33000
    assert [name for name in names if getattr(pdb.find(name), "name", None) != name] == []


def test_cpp_names_are_shown_without_their_decoration(compiled):
    pdb = PdbFile(str(compiled("public")))
    area = next(each for each in pdb.symbols() if each.linkage.startswith("?area@Square"))
    assert area.name == "geometry::Square::area"
    assert pdb.find("geometry::Square::area") == area
    assert pdb.find(area.linkage) == area
    assert {"geometry::Square::`vftable'", "geometry::largest<long>"} <= {each.name for each in pdb.symbols()}


def test_symbols_come_in_the_order_of_their_addresses(driver, shapes):
    for pdb in (driver, shapes):
        addresses = [each.rva for each in pdb.symbols()]
        assert addresses == sorted(addresses) and len(addresses) > 15


def test_a_public_name_is_left_out_where_a_private_one_is(shapes):
    destructor = start(shapes, "geometry::Shape::~Shape")
    assert [each.name for each in shapes.symbols() if each.rva == destructor] == ["geometry::Shape::~Shape"]


def test_a_line_is_given_from_its_first_byte_to_the_next_line(driver):
    entry = start(driver, "DriverEntry")
    opening = driver.line(entry)
    assert opening is not None and opening.rva == entry and opening.file.endswith("driver.c")
    source = Path(opening.file).read_text().splitlines()
    assert source[opening.number - 2].startswith("NTSTATUS DriverEntry(")
    assert driver.line(entry + 1) == opening


def test_lines_of_another_file_name_it(driver):
    files = {Path(line.file).name for line in driver.lines()}
    assert files == {"driver.c", "generated.c"}
    assert {line.number for line in driver.lines() if line.file.endswith("generated.c")} == {1000, 1001}


def test_a_place_without_code_has_no_line_and_nothing_inlined(driver):
    for rva in (0, start(driver, "StaticCounter"), 0x7FFF_FFFF):
        assert driver.line(rva) is None
        assert driver.inlines(rva) == ()


def test_inlined_functions_come_innermost_first_with_their_own_lines(driver):
    routine = driver.find("StaticRoutine")
    assert routine is not None
    stacks = [driver.inlines(routine.rva + offset) for offset in range(routine.size)]
    deepest = max(stacks, key=len)
    assert [inline.name for inline in deepest] == ["Add", "AddTwice"]
    assert deepest[0].rva >= deepest[1].rva > routine.rva
    text = Path(deepest[0].file or "").read_text().splitlines()
    assert "LONG sum = left + right" in text[deepest[0].number - 1]
    assert "device->References" in text[deepest[1].number - 1]


def test_the_bounds_of_a_function_are_those_of_the_compiler(driver):
    routine = driver.find("StaticRoutine")
    assert routine is not None
    assert driver.function(routine.rva + routine.size - 1) == routine
    assert driver.function(routine.rva + routine.size) is None


def test_members_have_offsets_and_types(driver):
    device = driver.type("_DEVICE")
    assert isinstance(device, RecordType) and (device.kind, device.size) == ("struct", 0xE0)
    offset, flags = device.find("Flags") or (0, None)
    assert offset == 0x30 and flags is driver.type("_FLAGS")
    parent = device.find("Parent")
    assert parent is not None and isinstance(parent[1], PointerType) and parent[1].target is device
    matrix = device.find("Matrix")
    assert matrix is not None and isinstance(matrix[1], ArrayType) and matrix[1].count == 3
    assert isinstance(matrix[1].element, ArrayType) and matrix[1].element.count == 5
    routine = device.find("Routine")
    assert routine is not None and isinstance(routine[1], ArrayType) and isinstance(routine[1].element, PointerType)
    function = routine[1].element.target
    assert isinstance(function, FunctionType)
    assert function.result.name == "long" and [each.size for each in function.arguments] == [8, 4]


def test_members_of_unnamed_unions_are_found_in_the_record_around_them(driver):
    device = driver.type("_DEVICE")
    assert isinstance(device, RecordType)
    assert [device.find(name)[0] for name in ("Word", "Halves", "Bytes")] == [0xBC] * 3


def test_bit_fields_have_positions_and_lengths(driver):
    flags = driver.type("_FLAGS")
    assert isinstance(flags, RecordType)
    bits = {member.name: (member.offset, member.type.position, member.type.length) for member in flags.members}
    assert bits["State"] == (0, 1, 3) and bits["Rest"] == (8, 40, 24) and bits["Kind"] == (0x14, 0, 4)
    kind = flags.find("Kind")
    assert kind is not None and isinstance(kind[1], BitfieldType) and kind[1].base is driver.type("_POOL_KIND")


def test_enumerations_know_their_values_and_sign(driver, shapes):
    kind = driver.type("_POOL_KIND")
    assert isinstance(kind, EnumType) and kind.signed and kind.size == 4
    assert dict(kind.enumerators) == {"NonPagedPool": 0, "PagedPool": 1, "NonPagedPoolNx": 512, "LastPool": -1}
    wide, signed = shapes.type("geometry::Wide"), shapes.type("geometry::Signed")
    assert isinstance(wide, EnumType) and wide.size == 8 and wide.name_of((1 << 64) - 1) == "Largest"
    assert isinstance(signed, EnumType) and signed.name_of(-(1 << 63)) == "Lowest" and signed.name_of(-1) == "Minus"


def test_a_type_that_is_only_declared_has_no_size(driver):
    opaque = driver.type("_OPAQUE")
    assert isinstance(opaque, RecordType) and opaque.size == 0 and list(opaque.members) == []


def test_a_type_definition_is_followed(driver):
    assert driver.type("DEVICE") is driver.type("_DEVICE")
    unsigned = driver.type("ULONG")
    assert isinstance(unsigned, BaseType) and (unsigned.name, unsigned.size, unsigned.kind) == (
        "unsigned long",
        4,
        "uint",
    )


def test_a_variable_and_a_function_have_types(driver, shapes):
    assert driver.type_of("GlobalDevice") is driver.type("_DEVICE")
    function = driver.type_of("StaticRoutine")
    assert isinstance(function, FunctionType) and function.result.name == "long"
    storage = shapes.type_of("storage")
    assert isinstance(storage, ArrayType) and storage.count == 88


def test_classes_have_bases_virtual_bases_static_members_and_a_table(shapes):
    square, named, shape = (shapes.type(f"geometry::{name}") for name in ("Square", "Named", "Shape"))
    assert isinstance(square, RecordType) and isinstance(named, RecordType) and isinstance(shape, RecordType)
    assert [(member.name, member.kind) for member in square.members] == [
        ("geometry::Named", "base"),
        ("geometry::Tinted", "base"),
        ("side", "member"),
    ]
    assert square.find("label") == (8, named.find("label")[1])
    virtual = next(member for member in named.members if member.kind == "vbase")
    assert virtual.type is shape and (virtual.offset, virtual.slot) == (0, 1)
    kinds = {member.name: member.kind for member in shape.members}
    assert kinds["__VFN_table"] == "vfptr" and kinds["count"] == "static"
    assert shapes.type("geometry::Shape::Nested") is shape.find("nested")[1]


def test_templates_and_types_of_functions_are_types_like_others(shapes):
    names = set(shapes.type_names())
    assert {"geometry::Array<long,4>", "local_types::Local", "`anonymous namespace'::Hidden"} <= names
    local = shapes.type("local_types::Local")
    assert isinstance(local, RecordType) and local.size == 8


def test_a_list_of_members_may_go_on_in_further_records(compiled):
    pdb = PdbFile(str(compiled("wide")))
    record, many = pdb.type("Wide"), pdb.type("Many")
    assert isinstance(record, RecordType) and len(record.members) == 5000
    assert record.find("member_number_2499") is not None
    assert isinstance(many, EnumType) and len(many.enumerators) == 4000
    assert many.name_of(3999 * 7919 - 900000) == "EnumeratorNumber3999"


@needs_symbols
def test_the_kernels_process_and_thread_are_decoded():
    pdb = PdbFile(str(KERNEL))
    process, thread = pdb.type("_EPROCESS"), pdb.type("_KTHREAD")
    assert isinstance(process, RecordType) and process.path("Pcb.Header.Type") is not None
    assert process.find("UniqueProcessId")[0] == 0x440
    assert isinstance(thread, RecordType) and thread.find("WaitReason")[0] == 643


def test_a_missing_file_an_empty_one_and_something_else_are_refused_in_one_line(tmp_path):
    for content in (None, b"", b"MZ" + bytes(4000), b"<html></html>", bytes(4096), b"BSJB" + bytes(100)):
        path = tmp_path / "some.pdb"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SymbolError) as caught:
            PdbFile(str(path))
        assert "some.pdb" in str(caught.value) and "\n" not in str(caught.value)


def test_reading_a_closed_pdb_is_an_error(compiled):
    pdb = PdbFile(str(compiled("driver")))
    pdb.close()
    with pytest.raises(ValueError, match="closed"):
        pdb.find("DriverEntry")


def test_opening_a_public_pdb_loads_nothing_that_private_ones_need():
    code = (
        "import sys, dumpkit.symbols.pdb\n"
        "for name in ('privates', 'lines', 'inlines', 'tpi', 'undecorate', 'undecorate_names', 'isf'):\n"
        "    assert f'dumpkit.symbols.{name}' not in sys.modules, name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
