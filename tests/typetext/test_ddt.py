from __future__ import annotations

import struct
from typing import List, Optional

from dumpkit.symbols.types import Type
from dumpkit.typetext.ddt import DdtDump
from dumpkit.typetext.dump import TypeDump
from dumpkit.typetext.request import parse
from dumpkit.typetext.values import Reader, Value

from tests.flat_memory import FlatMemory
from tests.typetext import lab

BASE = 0x1000
THING = lab.struct(
    "_THING",
    ("Size", lab.USHORT),
    ("Level", lab.SHORT),
    ("ExitStatus", lab.LONG),
    ("Value", lab.ULONG64),
    ("Bit", lab.bits(lab.ULONG, 0, 1)),
    ("Pair", lab.bits(lab.ULONG, 1, 3)),
    ("Octet", lab.bits(lab.ULONG, 4, 8)),
    ("Links", lab.LIST_ENTRY),
    ("CreateTime", lab.LARGE),
    ("ReadCount", lab.LARGE),
    ("Name", lab.UNICODE),
    ("Context", lab.pointer(lab.VOID)),
    ("Owner", lab.pointer(lab.INNER)),
    ("Tag", lab.array(lab.CHAR, 4)),
    ("Byte", lab.UCHAR),
)


def thing(**changes: int) -> Reader:
    values = {
        "Size": 0x5402,
        "Level": -2,
        "ExitStatus": 259,
        "Value": 0xFFFFC1881CA0F283,
        "Bits": 0b1001_0101,
        "Flink": 0x2000,
        "Blink": 0x2000,
        "CreateTime": 0x01DA3683BF03EE04,
        "ReadCount": 0xE66,
        "Buffer": 0x1080,
        "Context": 0xFFFFA604F24A9790,
        "Owner": 0x3000,
    }
    values.update(changes)
    data = struct.pack(
        "<HhiQIxxxxQQQQ",
        *(values[name] for name in ("Size", "Level", "ExitStatus", "Value", "Bits")),
        values["Flink"],
        values["Blink"],
        values["CreateTime"],
        values["ReadCount"],
    )
    data += struct.pack("<HHxxxxQQQ4sB", 6, 8, values["Buffer"], values["Context"], values["Owner"], b"Ntff", 0x41)
    data = data.ljust(0x80, b"\0") + "abc".encode("utf-16-le")
    return Reader(FlatMemory({BASE: data}), lambda address: f"+{address:x}")


def dumped(reader: Reader, arguments: str = "_THING 1000", remark=None) -> List[str]:
    request = parse(arguments)
    address = None if request.address is None else int(request.address, 16)
    value = Value(reader, lab.TYPES[request.bare_name], address)
    return list(DdtDump(arguments, TypeDump(request, value), remark).lines())


def line(lines: List[str], name: str) -> str:
    return next(line for line in lines if f" {name} " in line)


def test_the_head_repeats_the_command():
    lines = dumped(thing())
    assert lines[:3] == ["", "dt _THING 1000 () Recursive: [ -r1 -r2 -r ] Verbose Normal dt", "=" * 82]


def test_numbers_are_shown_in_both_radixes_from_ten_on():
    lines = dumped(thing())
    assert line(lines, "Size") == "   +0x000 Size                 : 0x5402 (0n21506)"
    assert line(lines, "Level") == "   +0x002 Level                : 0n-2 (0xfffe)"
    assert line(lines, "Value") == "   +0x008 Value                : 0xffffc188`1ca0f283 (0n-68684636687741)"
    assert line(dumped(thing(Size=9)), "Size") == "   +0x000 Size                 : 9"
    assert line(lines, "Byte").endswith(": 0x41 'A'")


def test_a_status_offers_its_meaning():
    assert line(dumped(thing()), "ExitStatus").endswith(": 0n259 (0x103) !error")
    assert line(dumped(thing(ExitStatus=0)), "ExitStatus").endswith(": 0n0")


def test_few_bits_have_their_number_behind_them():
    lines = dumped(thing())
    assert line(lines, "Bit").endswith(": 0y1")
    assert line(lines, "Pair").endswith(": 0y010 (0n2)")
    assert line(lines, "Octet").endswith(": 0y00001001 (0x9)")


def test_list_entries_are_judged_by_their_links():
    assert line(dumped(thing()), "Links").endswith("[ 0x00000000`00002000 - 0x00000000`00002000 ] [EMPTY OR 1 ELEMENT]")
    assert line(dumped(thing(Blink=0x2010)), "Links").endswith("- 0x00000000`00002010 ]")
    assert line(dumped(thing(Blink=0)), "Links").endswith("- 0x00000000`00000000 ] [INVALID]")


def test_times_are_times_and_counts_are_counts():
    lines = dumped(thing())
    assert line(lines, "CreateTime").endswith(": _LARGE_INTEGER 0x01da3683`bf03ee04 (12/24/2023 16:10:43 UTC)")
    assert line(lines, "ReadCount").endswith(": _LARGE_INTEGER 0xe66 (0n3686)")
    assert line(dumped(thing(CreateTime=0)), "CreateTime").endswith(": _LARGE_INTEGER 0x0 (01/01/1601 00:00:00 UTC)")
    garbage = line(dumped(thing(CreateTime=0xFFFF9101428684C8)), "CreateTime")
    assert garbage.endswith(": _LARGE_INTEGER 0xffff9101`428684c8 (0n-122040379603768)")


def test_strings_and_arrays_are_spaced_as_mex_spaces_them():
    lines = dumped(thing())
    assert line(lines, "Name").endswith(': _UNICODE_STRING  "abc"')
    assert line(lines, "Tag").endswith(': [4] "Ntff"')


def test_pointers_have_a_remark():
    def remark(address: int, type: Type) -> Optional[str]:
        return "  PoolTag: VadS" if type.name == "void" else " (System)"

    lines = dumped(thing())
    assert line(lines, "Context").endswith(": 0xffffa604`f24a9790 Void    [ !ndao dps dc !handle ln ? ]")
    assert line(lines, "Owner").endswith(": 0x00000000`00003000 Inner")
    lines = dumped(thing(), remark=remark)
    assert line(lines, "Context").endswith(": 0xffffa604`f24a9790 Void  PoolTag: VadS")
    assert line(lines, "Owner").endswith(": 0x00000000`00003000 Inner (System)")
    assert line(dumped(thing(Owner=0)), "Owner").endswith(": (null)")


def test_a_type_alone_is_as_dt_has_it_but_wider():
    lines = dumped(thing(), "_THING Context Pair")
    assert lines[3:] == [
        "   +0x010 Pair                 : Pos 1, 3 Bits",
        "   +0x048 Context              : Ptr64 Void",
    ]


def test_the_address_may_come_first():
    lines = dumped(thing(), "0x1000 _THING -y Read")
    assert lines[3:] == ["   +0x030 ReadCount            : _LARGE_INTEGER 0xe66 (0n3686)"]
