"""Symbol records of a PDB.

Layout: the SYM structures of cvinfo.h in github.com/microsoft/microsoft-pdb. Places are section:offset, the first
section being 1; offsets of records are into the stream that holds them.
"""

from __future__ import annotations

from struct import pack
from typing import NamedTuple

S_END, S_FRAMEPROC, S_OBJNAME, S_CONSTANT, S_UDT = 0x0006, 0x1012, 0x1101, 0x1107, 0x1108
S_LDATA32, S_GDATA32, S_PUB32, S_LPROC32, S_GPROC32, S_REGREL32 = 0x110C, 0x110D, 0x110E, 0x110F, 0x1110, 0x1111
S_PROCREF, S_LPROCREF, S_SECTION, S_COFFGROUP, S_COMPILE3 = 0x1125, 0x1127, 0x1136, 0x1137, 0x113C
S_BUILDINFO, S_INLINESITE, S_INLINESITE_END = 0x114C, 0x114D, 0x114E
#: Flags of a public symbol.
CODE, FUNCTION = 1, 2

#: CV_AMD64_*: the numbers that symbol records have for registers.
_REGISTERS = {
    "rax": 328, "rbx": 329, "rcx": 330, "rdx": 331, "rsi": 332, "rdi": 333, "rbp": 334, "rsp": 335,
    **{f"r{number}": 328 + number for number in range(8, 16)},
}  # fmt: skip
_X64 = 0xD0


class Place(NamedTuple):
    """An address as a PDB has it."""

    section: int
    offset: int


def record(kind: int, body: bytes) -> bytes:
    """A record: its length (without itself), its kind and its body, filled up to a multiple of four."""
    body += bytes(-len(body) % 4)
    return pack("<HH", len(body) + 2, kind) + body


def _name(text: str) -> bytes:
    return text.encode() + b"\0"


def public(name: str, place: Place, flags: int) -> bytes:
    """S_PUB32."""
    return record(S_PUB32, pack("<IIH", flags, place.offset, place.section) + _name(name))


def data(name: str, place: Place, type_index: int, is_global: bool) -> bytes:
    """S_GDATA32 or S_LDATA32."""
    kind = S_GDATA32 if is_global else S_LDATA32
    return record(kind, pack("<IIH", type_index, place.offset, place.section) + _name(name))


def udt(name: str, type_index: int) -> bytes:
    """S_UDT: a typedef."""
    return record(S_UDT, pack("<I", type_index) + _name(name))


def procedure_reference(name: str, module: int, offset: int, is_global: bool) -> bytes:
    """S_PROCREF or S_LPROCREF; `module` counts from 0, `offset` is the procedure's in that module's stream."""
    kind = S_PROCREF if is_global else S_LPROCREF
    return record(kind, pack("<IIH", 0, offset, module + 1) + _name(name))


def procedure(name: str, place: Place, size: int, type_index: int, is_global: bool, prologue: int, end: int) -> bytes:
    """S_GPROC32 or S_LPROC32; `end` is the offset of its S_END."""
    ends = size - 1 if size else 0
    head = pack("<IIIIIIIIHB", 0, end, 0, size, prologue, ends, type_index, place.offset, place.section, 0)
    return record(S_GPROC32 if is_global else S_LPROC32, head + _name(name))


def frame(size: int, saved: int) -> bytes:
    """S_FRAMEPROC: bytes of frame, bytes of saved registers; locals and parameters are found from RSP."""
    return record(S_FRAMEPROC, pack("<IIIIIHI", size, 0, 0, saved, 0, 0, 1 << 14 | 1 << 16))


def register_relative(name: str, type_index: int, register: str, offset: int) -> bytes:
    """S_REGREL32: a variable at [register+offset]."""
    return record(S_REGREL32, pack("<iIH", offset, type_index, _REGISTERS[register]) + _name(name))


def end(kind: int = S_END) -> bytes:
    """What closes a procedure or an inline site."""
    return record(kind, b"")


def inline_site(parent: int, closing: int, inlinee: int, annotations: bytes) -> bytes:
    """S_INLINESITE; `parent` and `closing` are offsets of records, `inlinee` an index into IPI."""
    return record(S_INLINESITE, pack("<III", parent, closing, inlinee) + annotations)


def object_name(name: str) -> bytes:
    """S_OBJNAME."""
    return record(S_OBJNAME, pack("<I", 0) + _name(name))


def compiler(version: str, language: int = 0) -> bytes:
    """S_COMPILE3; language 0 is C, 3 the assembler's, 7 the linker's."""
    numbers = (19, 37, 32822, 0)
    return record(S_COMPILE3, pack("<IH8H", language, _X64, *numbers, *numbers) + _name(version))


def build_info(identity: int) -> bytes:
    """S_BUILDINFO; an index into IPI."""
    return record(S_BUILDINFO, pack("<I", identity))


def section(number: int, rva: int, size: int, characteristics: int, name: str) -> bytes:
    """S_SECTION, which the linker's own module has for each section."""
    return record(S_SECTION, pack("<HBBIII", number, 12, 0, rva, size, characteristics) + _name(name))


def coff_group(place: Place, size: int, characteristics: int, name: str) -> bytes:
    """S_COFFGROUP, which the linker's own module has for each part of a section."""
    return record(S_COFFGROUP, pack("<IIIH", size, characteristics, place.offset, place.section) + _name(name))
