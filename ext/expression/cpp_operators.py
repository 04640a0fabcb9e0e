"""The operators of C++ expressions between two values.

An operation on integers is done in 64 bits, and its result has the larger size of both operands, unsigned if one of
them is.
"""

from __future__ import annotations

from dumpkit.expression.cpp_values import (
    BOOL,
    BY_SIZE,
    DOUBLE,
    FLOAT,
    INT64,
    U64,
    UNSIGNED_CHAR,
    CppValue,
    make,
    pointer,
)
from dumpkit.symbols.types import ArrayType, PointerType, RecordType, Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional


class OperandError(ValueError):
    """An operator does not fit its operands; the text is the engine's."""


def _divide(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return -quotient if (left < 0) != (right < 0) else quotient


def _remainder(left: int, right: int) -> int:
    return left - _divide(left, right) * right


_ARITHMETIC: Dict[str, Callable[[int, int], int]] = {
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "&": lambda a, b: a & b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "%": _remainder,
}
_COMPARISONS: Dict[str, Callable[[float, float], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}

_FLOATING: Dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}


def target_of(value: CppValue) -> Optional[Type]:
    """What a pointer or array leads to; None for anything else."""
    if isinstance(value.type, PointerType):
        return value.type.target
    return value.type.element if isinstance(value.type, ArrayType) else None


def apply(operator: str, left: CppValue, right: CppValue) -> CppValue:
    """What an operator between two values gives. Raises OperandError."""
    if isinstance(left.type, RecordType) or isinstance(right.type, RecordType):
        raise OperandError("Type conflict error at")
    if operator in ("&&", "||"):
        both = bool(left.number), bool(right.number)
        return make(BOOL, int(all(both) if operator == "&&" else any(both)))
    if left.kind.is_float or right.kind.is_float:
        return _apply_floats(operator, left, right)
    if target_of(left) is not None or target_of(right) is not None:
        found = _apply_pointers(operator, left, right)
        if found is not None:
            return found
    if operator in ("<<", ">>"):
        count = right.integer & 63
        number = left.integer << count if operator == "<<" else left.integer >> count
        return make(UNSIGNED_CHAR if left.kind is BOOL else left.kind, number)
    is_signed = left.kind.signed and right.kind.signed
    first, second = left.integer, right.integer
    if not is_signed:
        first, second = first & U64, second & U64
    if operator in _COMPARISONS:
        if left.kind is BOOL and (right.kind is not BOOL or operator not in ("==", "!=")):
            raise OperandError("Type conflict error at")
        return make(BOOL, int(_COMPARISONS[operator](first, second)))
    if operator in ("/", "%") and second == 0:
        raise OperandError("Operand error at")
    kind = BY_SIZE[max(left.kind.size, right.kind.size), is_signed]
    return make(kind, _ARITHMETIC[operator](first, second))


def _apply_floats(operator: str, left: CppValue, right: CppValue) -> CppValue:
    first, second = float(left.number), float(right.number)
    if operator in _COMPARISONS:
        return make(BOOL, int(_COMPARISONS[operator](first, second)))
    if operator not in ("+", "-", "*", "/"):
        raise OperandError("Type conflict error at")
    if operator == "/" and not second:
        raise OperandError("Operand error at")
    kinds = [each.kind for each in (left, right) if each.kind.is_float]
    kind = DOUBLE if DOUBLE in kinds else FLOAT
    number = first / second if operator == "/" else _FLOATING[operator](first, second)
    return make(kind, number)


def _apply_pointers(operator: str, left: CppValue, right: CppValue) -> Optional[CppValue]:
    """A pointer and a number added, or two pointers parted; None for what is done as with numbers."""
    first, second = target_of(left), target_of(right)
    if operator == "-" and first is not None and second is not None:
        size = max(first.size, 1)
        return make(INT64, _divide(make(INT64, left.integer - right.integer).integer, size))
    if operator not in ("+", "-") or (first is not None and second is not None):
        return None
    if first is None:
        if operator == "-":
            raise OperandError("Type conflict error at")
        left, right, first = right, left, second
    assert first is not None
    distance = right.integer * max(first.size, 1)
    number = left.integer + distance if operator == "+" else left.integer - distance
    place = first
    return pointer(PointerType(lambda: place), number)
