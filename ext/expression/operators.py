"""The operators of MASM expressions: their spelling, their order, and what they do to 64-bit numbers.

Source: "MASM Numbers and Operators" in Microsoft's debugger documentation, and the engine's answers.
"""

from __future__ import annotations

from dumpkit.expression.tokens import is_word
from dumpkit.numbers import signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Optional

#: Precedence of what stands before a value, of the strongest operators between two, and of an open bracket.
UNARY = 5
PRODUCT = 4
OPEN = -1

PRECEDENCE: Dict[str, int] = {
    **dict.fromkeys(("*", "/", "%", "mod", ":"), PRODUCT),
    **dict.fromkeys(("+", "-"), 3),
    **dict.fromkeys(("<<", ">>", ">>>"), 2),
    **dict.fromkeys(("=", "==", "<", ">", "<=", ">=", "!="), 1),
    # The documentation ranks these three; the engine does not.
    **dict.fromkeys(("&", "and", "^", "xor", "|", "or"), 0),
}

#: Bytes read by the operators that read memory; those with a dollar sign take a physical address.
READS = {"by": 1, "wo": 2, "dwo": 4, "qwo": 8, "poi": 8, "$pby": 1, "$pwo": 2, "$pdwo": 4, "$pqwo": 8, "$ppoi": 8}

#: Operators that are words and stand before a value.
UNARY_WORDS = frozenset(("not", "hi", "low", *READS))

DIVISIONS = frozenset(("/", "%", "mod"))


def _divide(left: int, right: int) -> int:
    quotient = abs(signed(left)) // abs(signed(right))
    return -quotient if (left ^ right) >> 63 else quotient


def _remainder(left: int, right: int) -> int:
    rest = abs(signed(left)) % abs(signed(right))
    return -rest if left >> 63 else rest


#: What the operators between two values do to numbers from 0 to 2**64 - 1; the result is to be taken modulo
#: 2**64. Numbers are signed but for `>>`, a quotient is cut towards zero, a shift counts modulo 64.
BINARY: Dict[str, Callable[[int, int], int]] = {
    "*": lambda a, b: a * b,
    "/": _divide,
    "%": _remainder,
    "mod": _remainder,
    # A segment and an offset: segments are flat on 64-bit machines.
    ":": lambda a, b: b,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "<<": lambda a, b: a << (b & 63),
    ">>": lambda a, b: a >> (b & 63),
    ">>>": lambda a, b: signed(a) >> (b & 63),
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: signed(a) < signed(b),
    ">": lambda a, b: signed(a) > signed(b),
    "<=": lambda a, b: signed(a) <= signed(b),
    ">=": lambda a, b: signed(a) >= signed(b),
    "&": lambda a, b: a & b,
    "and": lambda a, b: a & b,
    "^": lambda a, b: a ^ b,
    "xor": lambda a, b: a ^ b,
    "|": lambda a, b: a | b,
    "or": lambda a, b: a | b,
}


def operator_at(text: str, position: int) -> Optional[str]:
    """The operator between two values that stands at a place, as it is written, the longest one; else None.

    A word is an operator only where no other letter follows.
    """
    for length in (3, 2, 1):
        word = text[position : position + length]
        if word.lower() in BINARY and not (word.isalpha() and is_word(text[position + length : position + length + 1])):
            return word
    return None
