"""A function's parameters and local variables: where each is while the function stands at some place of its code.

Layouts: REGREL32, REGSYM, LOCALSYM, DEFRANGESYM* and FRAMEPROCSYM of cvinfo.h in github.com/microsoft/microsoft-pdb,
and CV_HREG_e there for the numbers of registers.
"""

from __future__ import annotations

from struct import Struct, error

from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.publics import iterate_records, symbol_name
from dumpkit.symbols.symbol_kinds import SCOPE_ENDS, SCOPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple

S_FRAMEPROC, S_REGISTER, S_REGREL32, S_LOCAL = 0x1012, 0x1106, 0x1111, 0x113E
S_DEFRANGE_REGISTER, S_DEFRANGE_FRAME, S_DEFRANGE_FRAME_WHOLE, S_DEFRANGE_REGISTER_REL = 0x1141, 0x1142, 0x1144, 0x1145
_RANGES = frozenset((S_DEFRANGE_REGISTER, S_DEFRANGE_FRAME, S_DEFRANGE_FRAME_WHOLE, S_DEFRANGE_REGISTER_REL))

#: CV_HREG_e of AMD64: the registers that variables are in, or are found by.
_REGISTERS = {
    **dict(enumerate("rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15".split(), 328)),
    **dict(enumerate("eax ecx edx ebx esp ebp esi edi".split(), 17)),
    **dict(enumerate((f"r{number}d" for number in range(8, 16)), 360)),
    **dict(enumerate((f"xmm{number}" for number in range(8)), 154)),
    **dict(enumerate((f"xmm{number}" for number in range(8, 16)), 252)),
}
#: FRAMEPROCSYM.flags: which register locals and parameters are found by.
_BASES = (None, "rsp", "rbp", "r13")
_LOCAL_BASE_SHIFT, _PARAMETER_BASE_SHIFT = 14, 16
#: LOCALSYM.flags.
_PARAMETER = 0x1

_REGREL = Struct("<iIH")
_TYPE_AND_SHORT = Struct("<IH")
_FRAME = Struct("<IIIIIHI")
_RANGE = Struct("<IHH")
_GAP = Struct("<HH")
_MOST_VARIABLES = 1000


class Variable(NamedTuple):
    """A variable at a place of its function's code.

    It lies at `register` + `offset`, or in the register where `offset` is None; where `register` is None, the
    symbols do not say where it is there.
    """

    name: bytes
    #: Index into TPI.
    type_index: int
    register: Optional[str]
    offset: Optional[int]
    #: None where the record does not say.
    is_parameter: Optional[bool]


class _Bases(NamedTuple):
    local: Optional[str] = None
    parameter: Optional[str] = None


def read_variables(stream: bytes, records: int, end: int, section: int, code: int) -> Iterator[Variable]:
    """The variables of the function whose records begin at an offset of a module's stream, its outermost scope only.

    `section` and `code` say where in the image the function stands. Records that are cut off are passed over.
    """
    bases = _Bases()
    local: Optional[Variable] = None
    count = 0
    for kind, offset in _outermost(stream, records, end):
        body = stream[offset + 4 : offset + 2 + int.from_bytes(stream[offset : offset + 2], "little")]
        try:
            if kind == S_FRAMEPROC:
                bases = _frame_bases(body)
            if local is not None and kind in _RANGES:
                if local.register is None:
                    local = _located(body, kind, bases, local, (section, code))
                continue
            if local is not None:
                yield local
                local, count = None, count + 1
            variable = _variable(body, kind)
        except error:
            continue
        if count >= _MOST_VARIABLES:
            return
        if kind == S_LOCAL:
            local = variable
        elif variable is not None:
            yield variable
            count += 1
    if local is not None:
        yield local


def _outermost(stream: bytes, records: int, end: int) -> Iterator[Tuple[int, int]]:
    """(kind, offset) of the records of a function that are in no block or inlined function within it."""
    depth = 0
    for kind, offset in iterate_records(stream, records, end):
        if kind in SCOPES:
            depth += 1
        elif kind in SCOPE_ENDS:
            depth -= 1
            if depth <= 0:
                return
        elif depth == 1:
            yield kind, offset


def _frame_bases(body: bytes) -> _Bases:
    flags = _FRAME.unpack_from(body)[-1]
    return _Bases(_BASES[flags >> _LOCAL_BASE_SHIFT & 3], _BASES[flags >> _PARAMETER_BASE_SHIFT & 3])


def _variable(body: bytes, kind: int) -> Optional[Variable]:
    if kind == S_REGREL32:
        offset, type_index, register = _REGREL.unpack_from(body)
        return Variable(symbol_name(body, _REGREL.size), type_index, _REGISTERS.get(register), offset, None)
    if kind == S_REGISTER:
        type_index, register = _TYPE_AND_SHORT.unpack_from(body)
        name = symbol_name(body, _TYPE_AND_SHORT.size)
        return Variable(name, type_index, _REGISTERS.get(register), None, None)
    if kind == S_LOCAL:
        type_index, flags = _TYPE_AND_SHORT.unpack_from(body)
        name = symbol_name(body, _TYPE_AND_SHORT.size)
        return Variable(name, type_index, None, None, bool(flags & _PARAMETER))
    return None


def _located(body: bytes, kind: int, bases: _Bases, local: Variable, place: Tuple[int, int]) -> Variable:
    """A variable with where a range record says that it is, if that holds at a place of the code."""
    base = bases.parameter if local.is_parameter else bases.local
    if kind in (S_DEFRANGE_FRAME, S_DEFRANGE_FRAME_WHOLE):
        offset = int.from_bytes(body[:4], "little", signed=True)
        if kind == S_DEFRANGE_FRAME_WHOLE or _holds(body, 4, place):
            return local._replace(register=base, offset=offset if base is not None else None)
        return local
    register = _REGISTERS.get(int.from_bytes(body[:2], "little"))
    if kind == S_DEFRANGE_REGISTER:
        return local._replace(register=register) if _holds(body, 4, place) else local
    offset = int.from_bytes(body[4:8], "little", signed=True)
    # A part of a variable that was taken apart says at which offset in the variable it belongs.
    is_part = int.from_bytes(body[2:4], "little") >> 4
    if is_part or register is None or not _holds(body, 8, place):
        return local
    return local._replace(register=register, offset=offset)


def _holds(body: bytes, at: int, place: Tuple[int, int]) -> bool:
    """Whether a range and the gaps behind it hold at a place: section and offset."""
    start, section, length = _RANGE.unpack_from(body, at)
    distance = place[1] - start
    if section != place[0] or not 0 <= distance < length:
        return False
    gaps: List[Tuple[int, int]] = [
        _GAP.unpack_from(body, gap) for gap in range(at + _RANGE.size, len(body) - _GAP.size + 1, _GAP.size)
    ]
    return not any(first <= distance < first + size for first, size in gaps)
