"""SMBIOS tables: structures, their strings, and tables that are cut or damaged."""

from __future__ import annotations

from struct import pack
from typing import Sequence

from dumpkit.kernel.smbios import Smbios
from hypothesis import given
from hypothesis import strategies as st


def structure(kind: int, formatted: bytes, strings: Sequence[bytes] = ()) -> bytes:
    tail = b"".join(text + b"\0" for text in strings) if strings else b"\0"
    return bytes([kind, 4 + len(formatted), 0, 0]) + formatted + tail + b"\0"


SYSTEM = structure(1, bytes([1, 2, 0, 3]) + bytes(17) + bytes([0, 4]), [b"Maker", b"Model X ", b"123", b"Family"])
PROCESSOR = structure(4, bytes([1, 3, 0, 2]) + bytes(8) + bytes([3]), [b"Socket", b"Vendor", b"CPU @ 3 GHz   "])
END = structure(127, b"")


def raw(*structures: bytes, version: bytes = b"\0\x03\x02\0") -> bytes:
    table = b"".join(structures)
    return version + pack("<I", len(table)) + table


def test_the_strings_of_the_machine_are_named_as_the_debugger_names_them() -> None:
    table = Smbios(raw(SYSTEM, PROCESSOR, END))
    assert table.version == (3, 2)
    assert table.facts() == {
        "SystemManufacturer": "Maker",
        "SystemProductName": "Model X",
        "SystemSerialNumber": "123",
        "SystemFamily": "Family",
        "ProcessorSocket": "Socket",
        "ProcessorManufacturer": "Vendor",
        "ProcessorVersion": "CPU @ 3 GHz",
    }


def test_the_first_structure_of_a_type_counts() -> None:
    second = structure(1, bytes([1, 0]), [b"Other"])
    assert Smbios(raw(SYSTEM, second, END)).facts()["SystemManufacturer"] == "Maker"


def test_a_structure_without_strings_is_stepped_over() -> None:
    table = Smbios(raw(structure(3, bytes(9)), SYSTEM, END))
    assert [s.type for s in table.structures()] == [3, 1]


def test_a_string_number_without_its_string_is_no_fact() -> None:
    assert Smbios(raw(structure(1, bytes([9, 0]), [b"only"]), END)).facts() == {}


def test_a_cut_table_gives_the_structures_before_the_cut() -> None:
    data = raw(SYSTEM, PROCESSOR, END)
    assert "SystemFamily" in Smbios(data[: 8 + len(SYSTEM) + 10]).facts()
    assert Smbios(b"").version is None
    assert Smbios(b"").facts() == {}


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail(table: bytes) -> None:
    facts = Smbios(raw(table)).facts()
    assert all(isinstance(text, str) for text in facts.values())
