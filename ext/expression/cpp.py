"""C++ expressions, as far as they are arithmetic: integers, characters and registers.

For `??` and for `@@c++(...)` in MASM expressions. Types, casts, members and pointers are refused. Each
value has one of the engine's types; the rules are those that its answers show: an operation is done in
64 bits, and its result has the larger size of both operands, unsigned if one of them is.
"""

from __future__ import annotations

import re

from dumpkit.errors import ExpressionError, RegisterError
from dumpkit.expression.evaluator import Evaluator
from dumpkit.expression.scope import PSEUDO_REGISTERS, Scope
from dumpkit.expression.tokens import read_characters, skip_space
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Dict, Tuple

#: How deep brackets and conditions may nest.
DEPTH_LIMIT = 64

_REFUSAL = "Of C++ expressions only integer arithmetic is supported, not"

_U64 = (1 << 64) - 1


class _Kind(NamedTuple):
    name: str
    #: Bytes.
    size: int
    signed: bool


_BOOL = _Kind("bool", 1, False)
_CHAR = _Kind("char", 1, True)
_UNSIGNED_CHAR = _Kind("unsigned char", 1, False)
_SHORT = _Kind("short", 2, True)
_INT = _Kind("int", 4, True)
_UNSIGNED_INT = _Kind("unsigned int", 4, False)
_INT64 = _Kind("int64", 8, True)
_UNSIGNED_INT64 = _Kind("unsigned int64", 8, False)
_BY_SIZE = {
    (1, True): _CHAR,
    (1, False): _UNSIGNED_CHAR,
    (2, True): _SHORT,
    (2, False): _Kind("unsigned short", 2, False),
    (4, True): _INT,
    (4, False): _UNSIGNED_INT,
    (8, True): _INT64,
    (8, False): _UNSIGNED_INT64,
}


class CppValue(NamedTuple):
    """An integer and its type; `str` is how `??` shows it."""

    kind: _Kind
    #: Sign-extended where the type has a sign.
    number: int
    #: Whether what it comes from had more bits than its type; the engine then writes 0x before single digits too.
    cut: bool = False

    def __str__(self) -> str:
        name, size, is_signed = self.kind
        number = self.number
        if self.kind is _BOOL:
            return f"bool {'true' if number else 'false'}"
        if size == 1:
            character = chr(number) if 0x20 <= number < 0x7F else ""
            return f"{name} {f'0n{number}' if is_signed else f'0x{number:02x}'} '{character}'"
        if is_signed:
            return f"{name} 0n{number}"
        if number < 10 and not self.cut:
            return f"{name} {number}"
        if number >> 32:
            return f"{name} 0x{number >> 32:08x}`{number & 0xFFFFFFFF:08x}"
        return f"{name} 0x{number:x}"


def _make(kind: _Kind, number: int) -> CppValue:
    """A value cut to the size of its type."""
    bits = kind.size * 8
    low = number & (1 << bits) - 1
    cut = (number & _U64) != low
    if kind.signed and low >> (bits - 1):
        low -= 1 << bits
    return CppValue(kind, low, cut)


def _divide(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return -quotient if (left < 0) != (right < 0) else quotient


def _remainder(left: int, right: int) -> int:
    return left - _divide(left, right) * right


_LEVELS: Tuple[Tuple[str, ...], ...] = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!="),
    ("<=", ">=", "<", ">"),
    ("<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
)
_PRECEDENCE = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators}
_OPERATOR = re.compile(r"<<(?!=)|>>(?!=)|<=|>=|==|!=|&&|\|\||[-+*/%&|^<>](?!=)")
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
_COMPARISONS: Dict[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}

_NUMBER = re.compile(r"(0[xX][0-9A-Fa-f`]*|[0-9][0-9`]*)(u?i64|ul{0,2}|l{1,2}u?)?", re.IGNORECASE)
_FLOAT = re.compile(r"[0-9]+(?:\.[0-9]*|[eE][-+]?[0-9])")
_REGISTER = re.compile(r"@([A-Za-z0-9_$]+)")
_MASM = re.compile(r"@@(?:masm)?\(", re.IGNORECASE)


class _Parser:
    def __init__(self, text: str, scope: Scope, position: int) -> None:
        self.text = text
        self.scope = scope
        self.position = position
        self.depth = 0

    def fail(self, kind: str) -> ExpressionError:
        return ExpressionError(kind, skip_space(self.text, self.position), self.text)

    def next(self) -> str:
        """The next character that is no white space, which is where the position moves."""
        self.position = skip_space(self.text, self.position)
        return self.text[self.position : self.position + 1]

    def take(self, word: str) -> bool:
        self.next()
        if not self.text.startswith(word, self.position):
            return False
        self.position += len(word)
        return True

    def expression(self) -> CppValue:
        """Everything but the comma operator."""
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise self.fail("Expression is nested too deeply at")
        value = self.binary(0)
        if self.take("?"):
            first = self.expression()
            if not self.take(":"):
                raise self.fail("Unexpected token")
            second = self.expression()
            value = first if value.number else second
        self.depth -= 1
        return value

    def binary(self, level: int) -> CppValue:
        """Operators that bind at least as strongly as `level`, from left to right."""
        left = self.unary()
        while True:
            self.next()
            match = _OPERATOR.match(self.text, self.position)
            if match is None or _PRECEDENCE[match.group()] < level:
                return left
            self.position = match.end()
            right = self.binary(_PRECEDENCE[match.group()] + 1)
            left = self.apply(match.group(), left, right)

    def apply(self, operator: str, left: CppValue, right: CppValue) -> CppValue:
        if operator in ("<<", ">>"):
            count = right.number & 63
            number = left.number << count if operator == "<<" else left.number >> count
            return _make(_UNSIGNED_CHAR if left.kind is _BOOL else left.kind, number)
        if operator in ("&&", "||"):
            both = bool(left.number), bool(right.number)
            return _make(_BOOL, int(all(both) if operator == "&&" else any(both)))
        is_signed = left.kind.signed and right.kind.signed
        first, second = (left.number, right.number) if is_signed else (left.number & _U64, right.number & _U64)
        if operator in _COMPARISONS:
            if left.kind is _BOOL and (right.kind is not _BOOL or operator not in ("==", "!=")):
                raise self.fail("Type conflict error at")
            return _make(_BOOL, int(_COMPARISONS[operator](first, second)))
        if operator in ("/", "%") and second == 0:
            raise self.fail("Operand error at")
        kind = _BY_SIZE[max(left.kind.size, right.kind.size), is_signed]
        return _make(kind, _ARITHMETIC[operator](first, second))

    def unary(self) -> CppValue:
        signs = ""
        while self.next() in ("+", "-", "!", "~") and self.next():
            signs += self.text[self.position]
            self.position += 1
        literal = self.next().isdigit()
        value = self.primary()
        for sign in reversed(signs):
            if sign == "!":
                value = _make(_BOOL, int(not value.number))
            elif sign == "~":
                value = _make(_BY_SIZE[value.kind.size, value.kind.signed], ~value.number)
            elif sign == "-":
                if not value.kind.signed and not literal:
                    raise self.fail("Type conflict error at")
                value = _make(value.kind, -value.number)
            literal = False
        return value

    def primary(self) -> CppValue:
        character = self.next()
        if not character or character in ")?:,;":
            raise self.fail("Syntax error at")
        if self.take("("):
            value = self.expression()
            if not self.take(")"):
                raise self.fail("Unexpected token")
            return value
        if character == "'":
            number, self.position = read_characters(self.text, self.position)
            kind = _CHAR if number <= 0xFF else _SHORT if number <= 0xFFFF else _INT if number >> 32 == 0 else _INT64
            return _make(kind, number)
        if character.isdigit() and not _FLOAT.match(self.text, self.position):
            return self.number()
        if character == "@":
            return self.register()
        raise self.fail(_REFUSAL)

    def number(self) -> CppValue:
        """A literal: decimal, 0x or octal by its 0; the smallest type that holds it, at least as wide as its suffix."""
        match = _NUMBER.match(self.text, self.position)
        if match is None:
            raise self.fail("Syntax error at")
        digits, suffix = match.group(1).replace("`", ""), (match.group(2) or "").lower()
        if digits[:2] in ("0x", "0X"):
            number = int(digits[2:] or "0", 16)
        elif digits[0] == "0" and not set(digits) & set("89"):
            number = int(digits, 8)
        else:
            number = int(digits[:40]) if len(digits) <= 40 else _U64
        self.position = match.end()
        return _make(_literal_kind(number, digits[:2].lower() == "0x", suffix), number)

    def register(self) -> CppValue:
        start = self.position
        match = _MASM.match(self.text, start)
        if match is not None:
            return self.masm(match.end())
        match = _REGISTER.match(self.text, start)
        name = match.group(1).lower() if match is not None else ""
        try:
            if name.startswith("$") and name[1:] in PSEUDO_REGISTERS:
                number = self.scope.pseudo_register(name[1:])
            else:
                number = self.scope.register(name)
        except RegisterError as error:
            raise self.fail("Bad register error at") from error
        self.position = match.end() if match is not None else start
        return _make(_UNSIGNED_INT if name == "efl" else _UNSIGNED_INT64, number)

    def masm(self, first: int) -> CppValue:
        """What stands in @@masm(...), which may not hold C++ again."""
        evaluator = Evaluator(self.text, self.scope, first)
        number = evaluator.value()
        self.position = evaluator.position
        if not self.take(")"):
            raise self.fail("Syntax error at")
        return _make(_UNSIGNED_INT64, number)


def _literal_kind(number: int, hexadecimal: bool, suffix: str) -> _Kind:
    if suffix.endswith("i64"):
        return _UNSIGNED_INT64 if suffix[0] == "u" else _INT64
    unsigned = "u" in suffix
    if not unsigned and number <= 0x7FFF_FFFF:
        return _INT
    if number <= 0xFFFF_FFFF and (unsigned or hexadecimal):
        return _UNSIGNED_INT
    return _INT64 if number >> 63 == 0 and not unsigned else _UNSIGNED_INT64


def evaluate_cpp(text: str, scope: Scope, position: int = 0) -> Tuple[CppValue, int]:
    """The value of the C++ expression at a place in a text, and the place behind it. Raises ExpressionError."""
    parser = _Parser(text, scope, position)
    value = parser.expression()
    while parser.take(","):
        value = parser.expression()
    return value, position + len(text[position : parser.position].rstrip())
