"""MASM expressions evaluated from left to right with two stacks, so that no depth of parentheses is too deep."""

from __future__ import annotations

from dumpkit.errors import ExpressionError, MemoryReadError
from dumpkit.expression.functions import (
    ARGUMENTS,
    COMPARISONS,
    VALID_LIMIT,
    compare,
    entry_point,
    is_readable,
    read_strings,
)
from dumpkit.expression.names import Found, read_global, read_marked, read_name, read_register
from dumpkit.expression.operators import (
    BINARY,
    DIVISIONS,
    OPEN,
    PRECEDENCE,
    PRODUCT,
    READS,
    UNARY,
    UNARY_WORDS,
    operator_at,
)
from dumpkit.expression.scope import Scope
from dumpkit.expression.tokens import U64_MASK, closing_parenthesis, is_word, read_characters, skip_space, word_end
from dumpkit.memory import AddressSpace
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, List, Optional, Tuple

    from typing_extensions import TypeAlias

#: Characters that an operand cannot start with, but that mean something in an expression.
_NO_OPERAND = frozenset("*/%<>=&^|:),];")

#: The clause for an operand that is not there.
MISSING = "Numeric expression missing from"


#: Evaluates C++ at a place in a text.
Cpp: TypeAlias = "Callable[[str, Scope, int], Tuple[int, int]]"


class _Pending(NamedTuple):
    """What waits for an operand: an operator, or an opened bracket or call until it closes."""

    #: The operator, the closing bracket that is awaited, or a function's name.
    word: str
    precedence: int
    #: Values on the stack when it was opened.
    depth: int = 0
    #: Arguments that a call takes; 0 for a plain bracket.
    arguments: int = 0


class Evaluator:
    """One expression at a place in a text, evaluated while it is read.

    `missing` is the clause for an operand that is not there; the engine has others for addresses and lengths.
    `cpp` gives the value of the C++ expression at a place and the place behind it, for @@c++(...); without
    it there is no C++.
    """

    def __init__(
        self, text: str, scope: Scope, position: int = 0, missing: str = MISSING, cpp: Optional[Cpp] = None
    ) -> None:
        self.text = text
        self.scope = scope
        #: Where the next word starts; behind the expression in the end.
        self.position = position
        self.missing = missing
        self.cpp = cpp
        self.start = position
        #: Where the last word that was read starts; errors of evaluation point there.
        self.last = position
        self.values: List[int] = []
        self.pending: List[_Pending] = []

    def fail(self, kind: str, position: Optional[int] = None) -> ExpressionError:
        """The error of that kind at a position in the text, at the last token where none is given."""
        return ExpressionError(kind, self.last if position is None else position, self.text)

    def fail_as_whole(self, kind: str) -> ExpressionError:
        """The form with a caret, which points to the start of the expression."""
        return ExpressionError(kind, self.start, self.text, caret=True)

    def value(self) -> int:
        """The value of the longest expression there, from 0 to 2**64 - 1. Raises ExpressionError."""
        position = skip_space(self.text, self.position)
        if self.text[position : position + 1] in ("%", "&", "#"):
            # Modes of an address; on 64-bit machines all of them are flat.
            self.position = position + 1
        while True:
            self._operand()
            if not self._continues():
                return self.values.pop()

    def _operand(self) -> None:
        """Read up to the next value and put it on the stack; what stands before it waits."""
        found: Optional[Found] = None
        while found is None:
            position = self.position = skip_space(self.text, self.position)
            character = self.text[position : position + 1]
            if not character or character in _NO_OPERAND:
                raise self.fail(self.missing, position)
            self.last = position
            if character in "+-~":
                self._wait(_Pending(character, UNARY), position + 1)
            elif character in "([":
                self._open(")" if character == "(" else "]", position + 1)
            elif is_word(character):
                found = self._word(position, character)
            else:
                found = self._sign(position, character)
        self.values.append(found[0])
        self.position = found[1]
        self._reduce(PRODUCT)

    def _wait(self, pending: _Pending, position: int) -> None:
        self.pending.append(pending)
        self.position = position

    def _open(self, word: str, position: int, arguments: int = 0) -> None:
        self._wait(_Pending(word, OPEN, len(self.values), arguments), position)

    def _continues(self) -> bool:
        """Read what stands behind a value: true where another operand is to follow, false where the expression ends."""
        while True:
            position = skip_space(self.text, self.position)
            operator = operator_at(self.text, position)
            if operator is not None:
                precedence = PRECEDENCE[operator.lower()]
                self._reduce(precedence)
                self.last = position
                self._wait(_Pending(operator.lower(), precedence), position + len(operator))
                return True
            self._reduce(0)
            if not self.pending:
                return False
            opened = self.pending[-1]
            character = self.text[position : position + 1]
            missing = opened.depth + opened.arguments - len(self.values) if opened.arguments else 0
            if character == "," and missing:
                self.last, self.position = position, position + 1
                return True
            if missing or character != (")" if opened.arguments else opened.word):
                raise self._unexpected(position, character)
            self._close(opened, position)

    def _unexpected(self, position: int, character: str) -> ExpressionError:
        """The error of something where a bracket should close; a word is read first, and may be wrong in itself."""
        if character == "@" or (is_word(character) and character != "~"):
            self.position = position
            self._operand()
        return self.fail("Syntax error at", position)

    def _close(self, opened: _Pending, position: int) -> None:
        self.last, self.position = position, position + 1
        self.pending.pop()
        if opened.arguments:
            arguments = self.values[opened.depth :]
            del self.values[opened.depth :]
            self.values.append(self._call(opened.word, arguments) & U64_MASK)
        self._reduce(PRODUCT)

    def _reduce(self, precedence: int) -> None:
        """Apply the waiting operators that bind at least as strongly as `precedence`, back to the last bracket."""
        while self.pending and self.pending[-1].precedence >= precedence:
            word, kind, _, _ = self.pending.pop()
            right = self.values.pop()
            if kind == UNARY:
                result = self._unary(word, right)
            elif right == 0 and word in DIVISIONS:
                raise self.fail("Operand error at")
            else:
                result = BINARY[word](self.values.pop(), right)
            self.values.append(result & U64_MASK)

    def _unary(self, word: str, value: int) -> int:
        if word in ("+", "-"):
            return value if word == "+" else -value
        if word in ("not", "~"):
            return int(value == 0)
        if word in ("hi", "low"):
            return value >> 16 & 0xFFFF if word == "hi" else value & 0xFFFF
        return self._read(self.scope.physical if word[0] == "$" else self.scope.memory, value, READS[word])

    def _read(self, memory: Optional[AddressSpace], address: int, size: int) -> int:
        cause: Optional[MemoryReadError] = None
        try:
            if memory is not None:
                return int.from_bytes(memory.read(address, size), "little")
        except MemoryReadError as error:
            cause = error
        raise self.fail("Memory access error at") from cause

    def _word(self, position: int, character: str) -> Optional[Found]:
        """The value of a word; None for an operator or a function, which then waits."""
        if character == ".":
            return read_register(self.text, self.scope, position, "$ip"), position + 1
        if character == "`":
            # A source line between back-ticks: these are the engine's words where no line information is.
            closed = self.text.find("`", position + 1) >= 0
            raise self.fail("No information found error at" if closed else "Syntax error at")
        end = word_end(self.text, position)
        name = self.text[position:end].lower()
        if name in UNARY_WORDS:
            self._wait(_Pending(name, UNARY), end)
            return None
        if name in ARGUMENTS:
            place = skip_space(self.text, end)
            if self.text[place : place + 1] != "(":
                raise self.fail("Syntax error at", place)
            self._open(name, place + 1, ARGUMENTS[name])
            return None
        if name in COMPARISONS:
            return self._compare(name, end)
        if name in BINARY:
            raise self.fail(self.missing, position)
        # The engine sign-extends no number right behind a plus: rsp+80000000 is above rsp.
        added = bool(self.pending) and self.pending[-1].word == "+"
        return read_name(self.text, self.scope, position, not added)

    def _sign(self, position: int, character: str) -> Optional[Found]:
        """The value of an operand that starts with a sign; None for a bracket, which then waits."""
        if character == "'":
            return read_characters(self.text, position)
        if self.text.startswith("!=", position):
            raise self.fail(self.missing, position)
        if character == "!":
            return read_global(self.text, self.scope, position)
        if self.text.startswith("@@", position):
            return self._other_evaluator(position)
        if character == "@":
            return read_marked(self.text, self.scope, position)
        raise self.fail("Syntax error at", position)

    def _other_evaluator(self, position: int) -> Optional[Found]:
        """@@masm(...) is a bracket; @@c++(...) and @@(...) are C++."""
        opening = self.text.find("(", position)
        name = self.text[position + 2 : opening].lower() if opening > 0 else None
        if name not in ("", "masm", "c++"):
            raise self.fail_as_whole("Syntax error")
        closing = closing_parenthesis(self.text, opening)
        if closing is None:
            raise self.fail("Syntax error at", position)
        if name == "masm":
            self._open(")", opening + 1)
            return None
        if self.cpp is None:
            raise self.fail("Syntax error at", position)
        value, end = self.cpp(self.text, self.scope, opening + 1)
        if skip_space(self.text, end) != closing:
            raise self.fail("Syntax error at", position)
        self.last = closing
        return value & U64_MASK, closing + 1

    def _call(self, name: str, arguments: List[int]) -> int:
        memory = self.scope.memory
        if name == "$vvalid":
            if not 0 < arguments[1] < VALID_LIMIT:
                raise self.fail("Invalid length in")
            return int(is_readable(memory, arguments[0], arguments[1]))
        if name == "$fnsucc":
            raise self.fail_as_whole("Unknown or unsupported return type")
        try:
            entry = entry_point(memory, arguments[0])
        except MemoryReadError as error:
            raise self.fail_as_whole("Memory access error") from error
        if entry is None:
            raise self.fail_as_whole("Unknown image error")
        return entry

    def _compare(self, name: str, end: int) -> Found:
        strings = read_strings(self.text, end)
        if strings is None:
            raise self.fail("Syntax error at", skip_space(self.text, end))
        return compare(name, strings[0], strings[1]) & U64_MASK, strings[2]
