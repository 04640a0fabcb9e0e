"""A module of one's own under the engine: its types, its data, and what the engine said of them.

`engine.txt` is the text of dbgeng 10.0.15063 for `dt` on a small C++ module that was written for this test,
compiled by clang and given to the engine as one of a dump's modules. The types below are that module's,
written down again; DATA is its data section. Nothing in here comes from a crash dump.
"""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Tuple, Union

from dumpkit.symbols.types import (
    ArrayType,
    BaseType,
    BitfieldType,
    EnumType,
    FunctionType,
    Member,
    PointerType,
    RecordType,
    Type,
)
from dumpkit.typetext.values import Reader

from tests.flat_memory import FlatMemory

DATA_ADDRESS = 0xFFFFF804_8B58C000
FN1 = 0xFFFFF804_8B581060
DATA = zlib.decompress(
    base64.b85decode(
        r"c-rk&O-L0{6ux)fy!U1X7cW7G7WJw}wJ>;<sfDElQJca|VGz_z@704g7L>0R%|si+jms1vmtii1Xc34ALO#KuO%N_5$Urxtn^H=r"
        r"duPs>pM#_8ehyr|`*ZHO=bn4dcW;_8mKDXcZZauc6h*d~#bi%9(w7pYIN8;wuDUK_Zp_DLx6ke8o`rk|3#6`tvtO>Psi+T_28|5U"
        r"JlqNWxK{N_Q~mhh@;p~kYC4nEQlO^=^W*c-PACcEIUhFM4cB+q9~b*C$sm-<&XcO4+j9R*MBwCshwKsS5%tOT(6%x;bf5LMEwnt="
        r"zP9aVoSV#W+<gaa4|T&9@nd4H>xo=x-3>)rz&gf37sU|ehv>t)v|+)x)LVx!p7qZ}h+{Ix@QYk8jI%}%<ACEA06PJ@0B-<VfE99X"
        r"-GF)2&w>42S3N91e-#iThWEt*><4^K{7Uj0@g=cK?-ic!Uylj<FD4+(Gn!Ad9nE=llYHDE<Z1Jqyo%n;#Vi;4DWRJdIh_qSLjgbW"
        r"p0GbeOfUUQ<sMdz@nVY9RmjZ@IS;h6nXb%Z8V`D2)E|x+@5w4~kt(^iU2>D_D#3bEkdLW98fnveLD%iRd(Yz`|Ai=(Z$<XRYvFoy"
        r"pMBSw>Sh1lmC;H;kl7S)8xP);MvlBzi}?K$c+qrgqTV?*B>D2too{ObHLxMY2s|8)@Ukl28)R-8zqo%G|0?hn-qY4;;5ESFbUZF8"
        r"ywA{|n@&0}NLLs~yBg6q4WHpn9ne~exo)zh;0^HGqxr*^tVo-EijNyH{o;|M$C{2ex3r%4UyIg~^8Pb99|zjKq<;+06Y^(_=&9Z<"
        r"W2`@z7yqB2-4A4ZyZ;R4FWN06@ITG_;2ocdzw7wd$c29ryCmvo^jhp+k~Dr1?7t5GHjb~`=)Dc^XJ=2XDGi<F{K|Pb_G)D0wA3FQ"
        r"kn&dMZvOhPa(3py#EZJZM#oC!OYfW2g^A0ad~DajKIS|ApD@SLgg4MfUCj9Idiu6p7sDPs0#=;ks89K!LGDq^UY;KxlyBd_7JQ!B"
        r"f?pQjk^jjyLhW$Hw5>h)$habM+!i_RuwnTw|Ksu-8VOmX"
    )
)

Declared = Union[Type, Callable[[], Type]]


def _late(declared: Declared) -> Callable[[], Type]:
    return declared if callable(declared) else lambda: declared


def pointer(to: Declared) -> PointerType:
    return PointerType(_late(to))


def array(of: Type, count: int) -> ArrayType:
    return ArrayType(lambda: of, count, count * of.size)


def bits(of: Type, position: int, length: int) -> BitfieldType:
    return BitfieldType(lambda: of, position, length, of.size)


def enum(name: str, size: int, signed: bool, **values: int) -> EnumType:
    return EnumType(name, size, signed, lambda: tuple(values.items()))


def function(result: Declared) -> FunctionType:
    return FunctionType(_late(result), tuple)


CHAR, SIGNED_CHAR, UCHAR = (
    BaseType("char", 1, "char"),
    BaseType("signed char", 1, "char"),
    BaseType("unsigned char", 1, "uchar"),
)
SHORT, USHORT = BaseType("short", 2, "int"), BaseType("unsigned short", 2, "uint")
INT, UINT = BaseType("int", 4, "int"), BaseType("unsigned int", 4, "uint")
LONG, ULONG = BaseType("long", 4, "int"), BaseType("unsigned long", 4, "uint")
LONGLONG, ULONG64 = BaseType("long long", 8, "int"), BaseType("unsigned long long", 8, "uint")
FLOAT, DOUBLE = BaseType("float", 4, "float"), BaseType("double", 8, "float")
BOOL, WCHAR, VOID = BaseType("bool", 1, "bool"), BaseType("wchar", 2, "wchar"), BaseType("void", 0, "void")
FN = pointer(function(LONG))

COLOR = enum("Color", 4, True, Red=0, Green=5, Blue=0xFFFFFFFD)
SMALL = enum("Small", 1, False, A=1, B=200)
BIG = enum("Big", 8, False, Huge=0x8000000000000001, Tiny=1)
SBIG = enum("SBig", 8, True, Neg=0xFFFFFFFFFFFFFFFB)
WIDE = enum("Wide", 4, False, W1=0x80000000, W2=16)
SH = enum("Sh", 2, True, SA=0xFFFF, SB=300)

TYPES: Dict[str, Type] = {found.name: found for found in (COLOR, SMALL, BIG, SBIG, WIDE, SH)}


def _alignment(type: Type) -> int:
    if isinstance(type, ArrayType):
        return _alignment(type.element)
    if isinstance(type, RecordType):
        return max((_alignment(member.type) for member in type.members), default=1)
    return type.size


def _placed(members: Tuple[Tuple[str, Declared], ...]) -> Iterator[Member]:
    """Members one behind the other, as a compiler puts them; bitfields share a unit while they fit."""
    end = unit = 0
    for name, declared in members:
        type = declared() if callable(declared) else declared
        if isinstance(type, BitfieldType) and type.position:
            yield Member(name, unit, _late(type))
            continue
        unit = -(-end // _alignment(type)) * _alignment(type)
        end = unit + type.size
        yield Member(name, unit, _late(type))


def struct(name: str, *members: Tuple[str, Declared], kind: str = "struct", size: int = 0) -> RecordType:
    def load() -> List[Member]:
        if kind == "union":
            return [Member(member, 0, _late(declared)) for member, declared in members]
        return list(_placed(members))

    made = RecordType(name, size, kind, load)
    if not size:
        end = max((member.offset + member.type.size for member in made.members), default=0)
        made.size = -(-end // _alignment(made)) * _alignment(made)
    TYPES[name] = made
    return made


def to(name: str) -> Type:
    """A pointer to a type that is declared later."""
    return pointer(lambda: TYPES[name])


LIST_ENTRY = struct("_LIST_ENTRY", ("Flink", to("_LIST_ENTRY")), ("Blink", to("_LIST_ENTRY")))
SINGLE = struct("_SINGLE_LIST_ENTRY", ("Next", to("_SINGLE_LIST_ENTRY")))
UNICODE = struct("_UNICODE_STRING", ("Length", USHORT), ("MaximumLength", USHORT), ("Buffer", pointer(WCHAR)))
STRING = struct("_STRING", ("Length", USHORT), ("MaximumLength", USHORT), ("Buffer", pointer(CHAR)))
ANSI = struct("_ANSI_STRING", ("Length", USHORT), ("MaximumLength", USHORT), ("Buffer", pointer(CHAR)))
HALVES = struct("_LARGE_INTEGER::<unnamed-type-u>", ("LowPart", ULONG), ("HighPart", LONG))


def quad(name: str, high: Type, whole: Type, *more: Member) -> RecordType:
    members = [Member("LowPart", 0, lambda: ULONG), Member("HighPart", 4, lambda: high), *more]
    members.append(Member("QuadPart", 0, lambda: whole))
    TYPES[name] = RecordType(name, 8, "union", lambda: members)
    found = TYPES[name]
    assert isinstance(found, RecordType)
    return found


LARGE = quad("_LARGE_INTEGER", LONG, LONGLONG, Member("u", 0, lambda: HALVES))
LARGE.element_count = 6
ULARGE = quad("_ULARGE_INTEGER", ULONG, ULONG64)
GUID = struct("_GUID", ("Data1", ULONG), ("Data2", USHORT), ("Data3", USHORT), ("Data4", array(UCHAR, 8)))
FILETIME = struct("_FILETIME", ("dwLowDateTime", ULONG), ("dwHighDateTime", ULONG))
LUID = struct("_LUID", ("LowPart", ULONG), ("HighPart", LONG))
_CLOCK = "wYear wMonth wDayOfWeek wDay wHour wMinute wSecond wMilliseconds"
SYSTEMTIME = struct("_SYSTEMTIME", *((name, USHORT) for name in _CLOCK.split()))
KSYSTEM = struct("_KSYSTEM_TIME", ("LowPart", ULONG), ("High1Time", LONG), ("High2Time", LONG))
INNER = struct("Inner", ("a", INT), ("b", SHORT))
U = struct("U", ("i", INT), ("f", FLOAT), kind="union")
FORWARD = RecordType("Forward", 0, "struct", tuple)

struct(
    "Pointers",
    ("pv", pointer(VOID)),
    ("pc", pointer(CHAR)),
    ("puc", pointer(UCHAR)),
    ("pw", pointer(WCHAR)),
    ("pi", pointer(INT)),
    ("pull", pointer(ULONG64)),
    ("pf", pointer(FLOAT)),
    ("pd", pointer(DOUBLE)),
    ("pb", pointer(BOOL)),
    ("ps", pointer(SHORT)),
    ("ppi", pointer(pointer(INT))),
    ("pin", pointer(INNER)),
    ("ppin", pointer(pointer(INNER))),
    ("pcol", pointer(COLOR)),
    ("fn", FN),
    ("pfn", pointer(FN)),
    ("parr", pointer(array(INT, 4))),
    ("pu", pointer(U)),
    ("fwd", pointer(FORWARD)),
    ("ple", pointer(LIST_ENTRY)),
    ("pus", pointer(UNICODE)),
    ("pli", pointer(LARGE)),
    ("pg", pointer(GUID)),
    ("ci", pointer(INT)),
    ("vc", pointer(CHAR)),
    ("psc", pointer(SIGNED_CHAR)),
    ("p16", pointer(VOID)),
    ("p32", pointer(VOID)),
    ("pstr", pointer(STRING)),
    ("pm", pointer(VOID)),
    ("ref", pointer(INT)),
    ("rin", pointer(INNER)),
)
struct(
    "Functions",
    ("fn", FN),
    ("fv", pointer(function(VOID))),
    ("fi", pointer(function(INNER))),
    ("fip", pointer(function(pointer(INNER)))),
    ("fuc", pointer(function(UCHAR))),
    ("fvp", pointer(function(pointer(VOID)))),
    ("fu", pointer(function(UINT))),
    ("fe", pointer(function(COLOR))),
    ("ffn", pointer(function(FN))),
    ("f64", pointer(function(ULONG64))),
    ("fw", pointer(function(pointer(WCHAR)))),
    ("fb", pointer(function(BOOL))),
    ("ff", pointer(function(FLOAT))),
    ("fd", pointer(function(DOUBLE))),
    ("fcc", pointer(function(pointer(CHAR)))),
    ("fc", pointer(function(CHAR))),
    ("fs", pointer(function(SHORT))),
    ("arr", array(FN, 3)),
    ("mp", array(ULONG64, 2)),
)
struct(
    "Arrays",
    ("ac", array(CHAR, 5)),
    ("auc", array(UCHAR, 3)),
    ("aw", array(WCHAR, 4)),
    ("ai", array(INT, 3)),
    ("am", array(array(INT, 3), 2)),
    ("ap", array(pointer(INT), 2)),
    ("as", array(INNER, 2)),
    ("ae", array(COLOR, 2)),
    ("af", array(FN, 2)),
    ("al", array(LIST_ENTRY, 2)),
    ("ab", array(BOOL, 3)),
    ("ad", array(DOUBLE, 2)),
    ("af2", array(FLOAT, 2)),
    ("ash", array(SHORT, 2)),
    ("aq", array(ULONG64, 2)),
    ("apv", array(pointer(VOID), 2)),
    ("apc", array(pointer(CHAR), 2)),
    ("aus", array(UNICODE, 2)),
    ("asc", array(SIGNED_CHAR, 3)),
    ("a16", array(USHORT, 3)),
    ("acc", array(array(CHAR, 4), 2)),
    ("au", array(U, 2)),
    ("asm_", array(SMALL, 2)),
    ("flex", array(INT, 1)),
    ("ali", array(LARGE, 2)),
)
TYPES["Arrays"].size = 0x140
struct(
    "Bits",
    ("a", bits(ULONG, 0, 1)),
    ("b", bits(ULONG, 1, 3)),
    ("c", bits(ULONG, 4, 8)),
    ("d", bits(ULONG, 12, 20)),
    ("q1", bits(ULONG64, 0, 1)),
    ("q2", bits(ULONG64, 1, 40)),
    ("q3", bits(ULONG64, 41, 23)),
    ("u1", bits(UCHAR, 0, 4)),
    ("u2", bits(UCHAR, 4, 4)),
    ("s1", bits(INT, 0, 3)),
    ("s2", bits(INT, 3, 29)),
    ("bb", bits(BOOL, 0, 1)),
    ("ce", bits(COLOR, 0, 4)),
    ("sm", bits(SMALL, 0, 3)),
    ("us", bits(USHORT, 0, 9)),
)
struct("Enums", ("c", COLOR), ("s", SMALL), ("b", BIG), ("sb", SBIG))
struct(
    "ColorS",
    *((name, COLOR) for name in "abcdef"),
    *((name, SMALL) for name in "ghi"),
    ("j", BIG),
    ("k", SBIG),
)
struct("WS", ("a", WIDE), ("b", WIDE), ("c", SH), ("d", SH), ("e", SH))
struct(
    "Scalars",
    ("c", CHAR),
    ("sc", SIGNED_CHAR),
    ("uc", UCHAR),
    ("s", SHORT),
    ("us", USHORT),
    ("i", INT),
    ("u", UINT),
    ("l", LONG),
    ("ul", ULONG),
    ("ll", LONGLONG),
    ("ull", ULONG64),
    ("f", FLOAT),
    ("d", DOUBLE),
    ("b", BOOL),
    ("w", WCHAR),
    ("c16", USHORT),
    ("c32", ULONG),
    ("ld", DOUBLE),
)
struct("Fl", *((name, FLOAT) for name in "abcde"), *((name, DOUBLE) for name in "fghij"))
struct(
    "U64s",
    *((name, ULONG64) for name in "abcd"),
    *((name, LONGLONG) for name in "efg"),
    ("h", USHORT),
    ("i", USHORT),
    ("j", SHORT),
    ("k", INT),
    ("l", UINT),
    ("m", LONGLONG),
)
struct(
    "Known",
    ("le", LIST_ENTRY),
    ("sle", SINGLE),
    ("us", UNICODE),
    ("st", STRING),
    ("an", ANSI),
    ("li", LARGE),
    ("ul", ULARGE),
    ("g", GUID),
    ("ft", FILETIME),
    ("lu", LUID),
    ("sy", SYSTEMTIME),
    ("ks", KSYSTEM),
)
L3 = struct("Deep::L1::L2::L3", ("x", INT), ("arr", array(INT, 2)))
L2 = struct("Deep::L1::L2", ("l3", L3), ("y", INT))
L1 = struct("Deep::L1", ("l2", L2), ("fn", FN))
DEEP = struct("Deep", ("l1", L1), ("next", to("Deep")))
struct(
    "PadT",
    ("in", INNER),
    ("arr", array(INNER, 2)),
    ("deep", DEEP),
    ("p", pointer(INNER)),
    ("l", array(LIST_ENTRY, 2)),
    ("m", array(array(INT, 2), 2)),
)
struct("Node", ("id", INT), ("Links", LIST_ENTRY), ("Next", to("Node")), ("S", SINGLE))
struct(
    "Strs",
    ("a", pointer(CHAR)),
    ("b", pointer(WCHAR)),
    ("z", UNICODE),
    ("n", UNICODE),
    ("zs", STRING),
    ("pca", pointer(array(CHAR, 8))),
    ("pi", pointer(array(INT, 3))),
    ("pin", pointer(array(INNER, 2))),
    ("ple", pointer(array(LIST_ENTRY, 2))),
    ("arr", array(pointer(INT), 2)),
    ("ppv", pointer(pointer(VOID))),
    ("ppc", pointer(pointer(UCHAR))),
    ("pf", pointer(FN)),
)
struct(
    "Cases",
    ("t1", array(CHAR, 5)),
    ("t2", array(CHAR, 5)),
    ("u1", array(UCHAR, 6)),
    ("w1", array(WCHAR, 4)),
    ("w2", array(WCHAR, 4)),
    ("f1", FLOAT),
    ("d1", DOUBLE),
    ("d2", DOUBLE),
    ("f2", FLOAT),
    ("b0", BOOL),
    ("b1", BOOL),
    ("b2", BOOL),
    ("ch", array(CHAR, 8)),
    ("uc", array(UCHAR, 8)),
    ("wc", array(WCHAR, 4)),
    ("neg", INT),
    ("sneg", SHORT),
    ("llneg", LONGLONG),
    ("ubig", UINT),
    ("qbig", ULONG64),
    ("qsmall", ULONG64),
    ("nine", UINT),
    ("ten", UINT),
    ("ineg9", INT),
    ("i9", INT),
    ("i10", INT),
    ("c16", USHORT),
    ("c32", ULONG),
    ("col", array(COLOR, 4)),
    ("sm", array(SMALL, 2)),
    ("big", BIG),
    *((name, CHAR) for name in ("c1", "c2", "c3", "c4")),
    *((name, UCHAR) for name in ("v1", "v2", "v3", "v4")),
    *((name, WCHAR) for name in ("x1", "x2", "x3")),
)
VTABLE = pointer(VOID)
BASE1 = RecordType(
    "Base1", 0x10, "class", lambda: [Member("", 0, lambda: VTABLE, "vfptr"), Member("b1", 8, lambda: INT)]
)
BASE2 = RecordType(
    "Base2",
    0x10,
    "class",
    lambda: [
        Member("", 0, lambda: VTABLE, "vfptr"),
        Member("b2", 8, lambda: INT),
        Member("stat", 0, lambda: INT, "static"),
    ],
)
SUB = struct("Derived::Sub", ("s", INT))
NESTED = enum("Derived::Nested", 4, True, N1=0)
TYPES["Derived"] = RecordType(
    "Derived",
    0x38,
    "class",
    lambda: [
        Member("Base1", 0, lambda: BASE1, "base"),
        Member("Base2", 0x10, lambda: BASE2, "base"),
        Member("d", 0x20, lambda: INT),
        Member("in", 0x24, lambda: INNER),
        Member("n", 0x2C, lambda: NESTED),
        Member("sub", 0x30, lambda: SUB),
    ],
)

#: The module's variables: type and virtual address.
VARIABLES: Dict[str, Tuple[Type, int]] = {
    "gPtrs": (TYPES["Pointers"], 0xFFFFF8048B58C1D0),
    "gBadPtrs": (TYPES["Pointers"], 0xFFFFF8048B58C2D0),
    "gKnown": (TYPES["Known"], 0xFFFFF8048B58C3D0),
    "gFuncs": (TYPES["Functions"], 0xFFFFF8048B58C468),
    "gArrays": (TYPES["Arrays"], 0xFFFFF8048B58C518),
    "gBits": (TYPES["Bits"], 0xFFFFF8048B58C658),
    "gEnums": (TYPES["Enums"], 0xFFFFF8048B58C680),
    "gScalars": (TYPES["Scalars"], 0xFFFFF8048B58C698),
    "gCases": (TYPES["Cases"], 0xFFFFF8048B58C108),
    "gStrs": (TYPES["Strs"], 0xFFFFF8048B58C978),
    "gCS": (TYPES["ColorS"], 0xFFFFF8048B58CA20),
    "gWS": (TYPES["WS"], 0xFFFFF8048B58CA50),
    "gFl": (TYPES["Fl"], 0xFFFFF8048B58CA60),
    "gU64": (TYPES["U64s"], 0xFFFFF8048B58CAA0),
    "gPad2": (TYPES["PadT"], 0xFFFFF8048B58CB30),
    "gInt": (INT, 0xFFFFF8048B58C004),
    "gChars": (array(CHAR, 8), 0xFFFFF8048B58C008),
    "gColor": (COLOR, 0xFFFFF8048B58C020),
    "gArr": (array(INT, 3), 0xFFFFF8048B58C024),
    "gPInner": (pointer(INNER), 0xFFFFF8048B58C070),
    "gLI": (LARGE, 0xFFFFF8048B58C090),
    "gUS": (UNICODE, 0xFFFFF8048B58C080),
    "n1": (TYPES["Node"], 0xFFFFF8048B58C758),
    "gDerived": (TYPES["Derived"], 0xFFFFF8048B591A20),
}


def place(address: int) -> str:
    """Names as the engine had them."""
    return {FN1: "lab!Fn1+0", DATA_ADDRESS + 4: "lab!gInt+0"}.get(address, f"+{address:x}")


def find(name: str) -> Optional[int]:
    return DATA_ADDRESS if name == "Base2::stat" else None


def reader() -> Reader:
    # The functions' code, and the zeros behind the initialised data.
    memory = FlatMemory({DATA_ADDRESS: DATA, FN1: b"\x48\x83", 0xFFFFF8048B591A00: bytes(0xD0)})
    return Reader(memory, place, find)


def engine_text() -> Dict[str, List[str]]:
    """Command -> lines, of `engine.txt`."""
    said: Dict[str, List[str]] = {}
    current: List[str] = []
    for line in (Path(__file__).parent / "engine.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("0: kd> "):
            current = said.setdefault(line[len("0: kd> ") :], [])
        else:
            current.append(line)
    return said
