"""What Windows 7 and before laid out otherwise: object headers, handle entries, DPC queues and timer tables.

The layouts are those of their public symbols, as far as the readers ask for them.
"""

from __future__ import annotations

from struct import pack
from typing import Dict

import pytest
from dumpkit.errors import DumpkitError, SymbolError
from dumpkit.kernel.dpc import dpc_queues
from dumpkit.kernel.handle_table import HandleTable
from dumpkit.kernel.object_header import KernelObject
from dumpkit.kernel.timer import timer_tables

from tests.flat_memory import FlatMemory
from tests.forge.layout import Layouts, parse
from tests.made_target import NT, MadeSymbols, MadeTarget

COMMON = """
struct _LIST_ENTRY 10
  0 Flink *_LIST_ENTRY; 8 Blink *_LIST_ENTRY
struct _UNICODE_STRING 10
  0 Length u16; 2 MaximumLength u16; 8 Buffer *wchar
struct _OBJECT_TYPE 48
  10 Name _UNICODE_STRING; 28 Index u8
struct _OBJECT_HEADER_NAME_INFO 20
  0 Directory *void; 8 Name _UNICODE_STRING
struct _HANDLE_TABLE 68
  0 TableCode u64; 58 HandleCount u32; 5c NextHandleNeedingPool u32
union _HANDLE_TABLE_ENTRY 10
  0 Object *void; 8 GrantedAccess u32; 8 NextFreeTableEntry u32
struct _KDPC 40
  0 Type u8; 8 DpcListEntry _LIST_ENTRY; 18 DeferredRoutine *void; 20 DeferredContext *void
struct _KDPC_DATA 20
  0 DpcListHead _LIST_ENTRY; 18 DpcQueueDepth i32; 1c DpcCount u32
struct _DISPATCHER_HEADER 18
  0 Type u8; 8 WaitListHead _LIST_ENTRY
struct _ULARGE_INTEGER 8
  0 QuadPart u64
struct _KWAIT_BLOCK 30
  0 WaitListEntry _LIST_ENTRY; 10 Thread *void
struct _KTIMER 40
  0 Header _DISPATCHER_HEADER; 18 DueTime _ULARGE_INTEGER; 20 TimerListEntry _LIST_ENTRY; 30 Dpc *_KDPC; 3c Period u32
struct _KTIMER_TABLE_ENTRY 20
  0 Lock u64; 8 Entry _LIST_ENTRY; 18 Time _ULARGE_INTEGER
struct _KTIMER_TABLE 2200
  200 TimerEntries _KTIMER_TABLE_ENTRY[256]
struct _KPRCB 3000
  100 DpcData _KDPC_DATA[2]; 200 TimerTable _KTIMER_TABLE
"""
WINDOWS_7 = """
struct _OBJECT_HEADER 38
  0 PointerCount i64; 8 HandleCount i64; 18 TypeIndex u8; 1a InfoMask u8; 30 Body u64
"""
VISTA = """
struct _OBJECT_HEADER 38
  0 PointerCount i64; 8 HandleCount i64; 10 Type *_OBJECT_TYPE; 18 NameInfoOffset u8; 19 HandleInfoOffset u8;
  1a QuotaInfoOffset u8; 30 Body u64
"""
TYPES, TYPE, HEADER, NAMES, TABLE, LEAF = (0xFFFFFA8000000000 + 0x10000 * number for number in range(6))
PRCB, DPC, TIMER, ROUTINE = 0xFFFFFA8001000000, 0xFFFFFA8002000000, 0xFFFFFA8002001000, NT.base + 0x1000


class OldSymbols(MadeSymbols):
    def __init__(self, text: str) -> None:
        self.layouts = Layouts(7601, parse(COMMON.strip() + text.rstrip()))
        self.variables: Dict[str, int] = {"nt!ObTypeIndexTable": TYPES}

    def address_of(self, name: str) -> int:
        if name in self.variables:
            return self.variables[name]
        raise SymbolError(f"{name}: no such symbol")

    def type(self, name, module=None):
        if name not in self.layouts:
            raise SymbolError(f"{name}: no such type")
        return self.layouts.type(name)


class OldTarget(MadeTarget):
    def __init__(self, text: str, parts: Dict[int, bytes]) -> None:
        super().__init__()
        self.symbols = OldSymbols(text)
        self.memory = FlatMemory(parts)

    def prcb_address(self, processor: int) -> int:
        return PRCB


def name_of(text: str, place: int) -> bytes:
    return pack("<HHIQ", 2 * len(text), 2 * len(text), 0, place)


def objects(header: bytes) -> Dict[int, bytes]:
    """An object whose header is at HEADER + 0x20, its name in front of that, and its type."""
    type = bytes(0x10) + name_of("Event", NAMES) + bytes(8) + b"\x0c" + bytes(0x1F)
    info = bytes(8) + name_of("Ready", NAMES + 0x100) + bytes(8)
    return {
        TYPES: pack("<Q", 0) * 12 + pack("<Q", TYPE),
        TYPE: type,
        HEADER: info + header + bytes(0x40),
        NAMES: "Event".encode("utf-16-le"),
        NAMES + 0x100: "Ready".encode("utf-16-le"),
    }


def test_windows_7_mixes_no_cookie_into_the_types_number():
    header = pack("<qqQBBBB", 3, 1, 0, 12, 0, 2, 0) + bytes(0x14)
    found = KernelObject(OldTarget(WINDOWS_7, objects(header)), HEADER + 0x50)
    assert (found.type.name, found.name, found.handle_count, found.pointer_count) == ("Event", "Ready", 1, 3)


def test_before_windows_7_the_header_points_to_the_type_and_says_where_the_name_is():
    header = pack("<qqQBBBB", 3, 1, TYPE, 0x20, 0, 0, 0) + bytes(0x14)
    found = KernelObject(OldTarget(VISTA, objects(header)), HEADER + 0x50)
    assert (found.type.name, found.name) == ("Event", "Ready")
    assert [part.name for part in found.optional_headers] == ["NameInfo"]


def test_a_number_without_a_type_is_no_object():
    header = pack("<qqQBBBB", 3, 1, 0, 5, 0, 0, 0) + bytes(0x14)
    with pytest.raises(DumpkitError, match="no object type"):
        _ = KernelObject(OldTarget(WINDOWS_7, objects(header)), HEADER + 0x50).type


def test_entries_of_windows_7_hold_the_pointer_with_flags_in_its_low_bits():
    entries = (
        bytes(16) + pack("<QQ", HEADER | 1, 0x1F0003) + pack("<QQ", HEADER | 1 | 2 | 4, 0x20) + pack("<QQ", 0, 0x40)
    )
    table = pack("<Q", LEAF) + bytes(0x50) + pack("<II", 2, 0x400) + bytes(8)
    found = HandleTable(OldTarget(WINDOWS_7, {TABLE: table, LEAF: entries + bytes(0x1000 - len(entries))}), TABLE)
    first, second, free, *_ = found
    assert (first.value, first.pointer, first.granted_access, first.attributes) == (4, HEADER, 0x1F0003, 0)
    assert (second.value, second.attributes) == (8, 6)
    assert (free.is_free, free.next_free) == (True, 0x40)
    assert found.handle_count == 2
    assert found.entry(8).pointer == HEADER


def processor() -> Dict[int, bytes]:
    """A KPRCB with a DPC in its first queue, and a timer in the fifth list of its only table."""
    memory = bytearray(0x3000)

    def put(offset: int, *words: int) -> None:
        memory[offset : offset + 8 * len(words)] = pack(f"<{len(words)}Q", *words)

    put(0x100, DPC + 8, DPC + 8)
    put(0x120, PRCB + 0x120, PRCB + 0x120)
    for hand in range(256):
        entry = 0x400 + 0x20 * hand + 8
        put(entry, PRCB + entry, PRCB + entry)
    entry = 0x400 + 0x20 * 5 + 8
    put(entry, TIMER + 0x20, TIMER + 0x20)
    dpc = pack("<QQQQQ", 0x13, PRCB + 0x100, PRCB + 0x100, ROUTINE, 0x1234) + bytes(0x18)
    timer = pack("<QQQQQQQII", 8, TIMER + 8, TIMER + 8, 0x5000, PRCB + entry, PRCB + entry, DPC, 0, 10)
    return {PRCB: bytes(memory), DPC: dpc, TIMER: timer}


def test_queues_of_windows_7_are_doubly_linked():
    normal, threaded = dpc_queues(OldTarget(WINDOWS_7, processor()), 0)
    assert [(dpc.address, dpc.routine, dpc.context) for dpc in normal.dpcs] == [(DPC, ROUTINE, 0x1234)]
    assert (normal.damage, threaded.dpcs, threaded.damage) == (None, [], None)


def test_windows_7_has_one_table_of_timers_and_without_keys_the_pointer_is_as_it_stands():
    (table,) = timer_tables(OldTarget(WINDOWS_7, processor()), 0)
    (timer,) = table.timers
    assert (table.kind, timer.hand, timer.due, timer.period) == (None, 5, 0x5000, 10)
    assert (timer.dpc, timer.routine) == (DPC, ROUTINE)
    assert table.damage == []
