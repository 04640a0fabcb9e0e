"""C++ expressions: numbers, registers, types, casts, members and pointers of the target's memory.

For `??` and for `@@c++(...)` in MASM expressions. Each value has one of the engine's types; the rules are those that
its answers show: an operation on integers is done in 64 bits, and its result has the larger size of both operands,
unsigned if one of them is. Functions, assignments and string literals are refused.
"""

from __future__ import annotations

import re

from dumpkit.errors import ExpressionError, MemoryReadError, RegisterError, SymbolError
from dumpkit.expression.cpp_operators import OperandError, apply, target_of
from dumpkit.expression.cpp_types import read_path, read_type
from dumpkit.expression.cpp_values import (
    BOOL,
    BY_SIZE,
    CHAR,
    DOUBLE,
    FLOAT,
    INT,
    INT64,
    LONG,
    SHORT,
    U64,
    UNSIGNED_INT,
    UNSIGNED_INT64,
    UNSIGNED_SHORT,
    CppValue,
    Kind,
    base_type,
    cast,
    loaded,
    make,
    pointer,
)
from dumpkit.expression.evaluator import Evaluator
from dumpkit.expression.scope import PSEUDO_REGISTERS, Scope
from dumpkit.expression.tokens import read_characters, skip_space
from dumpkit.symbols.types import PointerType, RecordType, Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Tuple, Union

#: How deep brackets and conditions may nest.
DEPTH_LIMIT = 64

_REFUSAL = "Of C++ expressions this is not supported:"


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
_NAME = re.compile(r"[A-Za-z_]\w*")
_SYMBOL = re.compile(r"[A-Za-z_]\w*(?:!\w+)?(?:::~?\w+)*")
_CAST = re.compile(r"(?:reinterpret|static|const|dynamic)_cast\s*<")
_NUMBER = re.compile(r"(0[xX][0-9A-Fa-f`]*|[0-9][0-9`]*)(u?i64|ul{0,2}|l{1,2}u?)?", re.IGNORECASE)
_FLOAT = re.compile(r"(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)[fFlL]?")
_REGISTER = re.compile(r"@([A-Za-z0-9_$]+)")
_MASM = re.compile(r"@@(?:masm)?\(", re.IGNORECASE)


_REGISTER_KINDS: Dict[str, Kind] = {
    "efl": UNSIGNED_INT,
    **dict.fromkeys(("cs", "ds", "es", "fs", "gs", "ss"), UNSIGNED_SHORT),
}
#: Pseudo-registers that are pointers: to what.
_TYPED = {
    "$thread": "nt!_ETHREAD*",
    "$proc": "nt!_EPROCESS*",
    "$prcb": "nt!_KPRCB*",
    "$teb": "nt!_TEB*",
    "$peb": "nt!_PEB*",
    "$ip": "unsigned char*",
    "$ra": "unsigned char*",
    "$csp": "unsigned char*",
}


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
        try:
            return apply(operator, left, right)
        except OperandError as error:
            raise self.fail(str(error)) from error

    def unary(self) -> CppValue:
        """Signs, dereferences, addresses and casts, and what stands behind them."""
        before: List[Union[str, Type]] = []
        while True:
            sign = self.next()
            if sign and sign in "+-!~*&":
                before.append(sign)
                self.position += 1
                continue
            type, end = read_type(self.text, self.scope, self.position + 1) if sign == "(" else (None, 0)
            if type is None or self.text[skip_space(self.text, end) :][:1] != ")":
                break
            before.append(type)
            self.position = skip_space(self.text, end) + 1
        literal = sign.isdigit()
        is_size = self.text.startswith("sizeof", self.position) and self.text[self.position + 6 :].lstrip()[:1] == "("
        value = self.size() if is_size else self.postfix(self.primary())
        for each in reversed(before):
            value = self.cast(value, each) if isinstance(each, Type) else self.with_sign(each, value, literal)
            literal = False
        return value

    def with_sign(self, sign: str, value: CppValue, literal: bool) -> CppValue:
        if sign in "*&":
            return self.dereferenced(value) if sign == "*" else self.address_of(value)
        if isinstance(value.type, RecordType) or (sign == "~" and value.kind.is_float):
            raise self.fail("Type conflict error at")
        if sign == "!":
            return make(BOOL, int(not value.number))
        if sign == "~":
            return make(BY_SIZE[value.kind.size, value.kind.signed], ~value.integer)
        if sign == "-":
            if not value.kind.signed and not literal:
                raise self.fail("Type conflict error at")
            return make(value.kind, -value.number)
        return value

    def cast(self, value: CppValue, type: Type) -> CppValue:
        try:
            return cast(value, type)
        except (ValueError, OverflowError) as error:
            raise self.fail("Type conflict error at") from error

    def size(self) -> CppValue:
        """sizeof(TYPE) or sizeof(EXPRESSION)."""
        self.position = self.text.index("(", self.position) + 1
        type, end = read_type(self.text, self.scope, self.position)
        if type is not None and self.text[skip_space(self.text, end) :][:1] == ")":
            self.position = end
            size = type.size
        else:
            value = self.expression()
            size = value.type.size if value.type is not None else value.kind.size
        if not self.take(")"):
            raise self.fail("Unexpected token")
        return make(UNSIGNED_INT64, size)

    def load(self, type: Type, address: int) -> CppValue:
        try:
            return loaded(self.scope.memory, type, address)
        except MemoryReadError as error:
            raise self.fail("Memory access error at") from error

    def dereferenced(self, value: CppValue) -> CppValue:
        target = target_of(value)
        if target is None or not target.size:
            raise self.fail("Type conflict error at")
        return self.load(target, value.integer)

    def address_of(self, value: CppValue) -> CppValue:
        if value.address is None:
            raise self.fail("Type conflict error at")
        type = value.type if value.type is not None else base_type(value.kind)
        return pointer(PointerType(lambda: type), value.address)

    def postfix(self, value: CppValue) -> CppValue:
        """Members and elements: `->NAME`, `.NAME`, `[INDEX]`, one behind the other."""
        while True:
            if self.take("->"):
                target = target_of(value)
                if not isinstance(target, RecordType):
                    raise self.fail("Type conflict error at")
                value = self.member(target, value.integer)
            elif self.next() == "." and isinstance(value.type, RecordType):
                self.position += 1
                value = self.member(value.type, value.integer)
            elif self.take("["):
                index = self.expression()
                if not self.take("]"):
                    raise self.fail("Unexpected token")
                target = target_of(value)
                if target is None or not target.size or index.kind.is_float:
                    raise self.fail("Type conflict error at")
                value = self.load(target, value.integer + index.integer * target.size)
            else:
                return value

    def member(self, record: RecordType, base: int) -> CppValue:
        self.next()
        match = _NAME.match(self.text, self.position)
        found = record.find(match.group()) if match is not None else None
        if match is None or found is None:
            raise self.fail("Type does not have given member error at")
        offset, type = found
        value = self.load(type, base + offset)
        self.position = match.end()
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
            kind = CHAR if number <= 0xFF else SHORT if number <= 0xFFFF else INT if number >> 32 == 0 else INT64
            return make(kind, number)
        if character.isdigit() or (character == "." and self.text[self.position + 1 : self.position + 2].isdigit()):
            match = _FLOAT.match(self.text, self.position)
            return self.number() if match is None else self.float(match)
        if character == "@":
            return self.register()
        if character == "#" and self.take("#FIELD_OFFSET"):
            return self.field_offset()
        if character == '"' or self.text.startswith('L"', self.position):
            raise ExpressionError("String literals not allowed in", self.position, self.text)
        return self.symbol()

    def float(self, match: re.Match[str]) -> CppValue:
        self.position = match.end()
        digits = match.group().rstrip("fFlL")
        return make(FLOAT if match.group()[-1] in "fF" else DOUBLE, float(digits))

    def field_offset(self) -> CppValue:
        """#FIELD_OFFSET(TYPE, MEMBER.MEMBER)."""
        if not self.take("("):
            raise self.fail("Syntax error at")
        self.next()
        type, end = read_type(self.text, self.scope, self.position)
        if type is None:
            raise self.fail("Couldn't resolve error at")
        self.position = end
        if not self.take(","):
            raise self.fail("Syntax error at")
        self.next()
        offset, self.position = read_path(self.text, type, self.position)
        if not self.take(")"):
            raise self.fail("Unexpected token")
        return make(LONG, offset)

    def symbol(self) -> CppValue:
        """A cast of C++'s, or a variable of the target by its name, of the type that its symbols say."""
        match = _CAST.match(self.text, self.position)
        if match is not None:
            type, end = read_type(self.text, self.scope, match.end())
            self.position = end
            if type is not None and self.take(">") and self.next() == "(":
                return self.cast(self.postfix(self.primary()), type)
            raise self.fail("Syntax error at")
        match = _SYMBOL.match(self.text, self.position)
        if match is None:
            raise self.fail(_REFUSAL)
        if match.group() in ("true", "false"):
            self.position = match.end()
            return make(BOOL, int(match.group() == "true"))
        try:
            address, type = self.scope.variable(match.group())
        except SymbolError as error:
            raise self.fail("Couldn't resolve error at") from error
        value = self.load(type, address)
        self.position = match.end()
        return value

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
            number = int(digits[:40]) if len(digits) <= 40 else U64
        self.position = match.end()
        return make(_literal_kind(number, digits[:2].lower() == "0x", suffix), number)

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
        words = _TYPED.get(name)
        if words is not None:
            type = read_type(words, self.scope, 0)[0]
            if isinstance(type, PointerType):
                return pointer(type, number)
        return make(_REGISTER_KINDS.get(name, UNSIGNED_INT64), number)

    def masm(self, first: int) -> CppValue:
        """What stands in @@masm(...), which may not hold C++ again."""
        evaluator = Evaluator(self.text, self.scope, first)
        number = evaluator.value()
        self.position = evaluator.position
        if not self.take(")"):
            raise self.fail("Syntax error at")
        return make(UNSIGNED_INT64, number)


def _literal_kind(number: int, hexadecimal: bool, suffix: str) -> Kind:
    if suffix.endswith("i64"):
        return UNSIGNED_INT64 if suffix[0] == "u" else INT64
    unsigned = "u" in suffix
    if not unsigned and number <= 0x7FFF_FFFF:
        return INT
    if number <= 0xFFFF_FFFF and (unsigned or hexadecimal):
        return UNSIGNED_INT
    return INT64 if number >> 63 == 0 and not unsigned else UNSIGNED_INT64


def evaluate_cpp(text: str, scope: Scope, position: int = 0) -> Tuple[CppValue, int]:
    """The value of the C++ expression at a place in a text, and the place behind it. Raises ExpressionError."""
    parser = _Parser(text, scope, position)
    value = parser.expression()
    while parser.take(","):
        value = parser.expression()
    return value, position + len(text[position : parser.position].rstrip())
