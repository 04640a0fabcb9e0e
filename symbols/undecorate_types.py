"""The types in decorated C++ names, in WinDbg's wording.

Grammar: the decoration that Clang writes (MicrosoftMangle.cpp). A type is a pair of texts, before and behind
the place where a name or the star of a pointer would stand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Tuple

    from typing_extensions import TypeAlias

Parts: TypeAlias = "Tuple[str, str]"

_PLAIN = {
    "C": "signed char", "D": "char", "E": "unsigned char", "F": "short", "G": "unsigned short", "H": "int",
    "I": "unsigned int", "J": "long", "K": "unsigned long", "M": "float", "N": "double", "O": "long double",
    "X": "void", "_D": "__int8", "_E": "unsigned __int8", "_F": "__int16", "_G": "unsigned __int16",
    "_H": "__int32", "_I": "unsigned __int32", "_J": "__int64", "_K": "unsigned __int64", "_L": "__int128",
    "_M": "unsigned __int128", "_N": "bool", "_P": "auto", "_Q": "char8_t", "_S": "char16_t",
    "_T": "decltype(auto)", "_U": "char32_t", "_W": "wchar_t",
}  # fmt: skip
_CALLS = {
    "A": "__cdecl", "B": "__cdecl", "C": "__pascal", "D": "__pascal", "E": "__thiscall", "F": "__thiscall",
    "G": "__stdcall", "H": "__stdcall", "I": "__fastcall", "J": "__fastcall", "M": "__clrcall", "N": "__clrcall",
    "O": "__eabi", "P": "__eabi", "Q": "__vectorcall", "S": "__swift_1", "W": "__regcall",
}  # fmt: skip
_QUALIFIERS = {"A": "", "B": " const", "C": " volatile", "D": " const volatile"}
_POINTERS = {"P": ("*", ""), "Q": ("*", " const"), "R": ("*", " volatile"), "S": ("*", " const volatile"),
             "A": ("&", ""), "B": ("&", " volatile")}  # fmt: skip
#: Access letters of functions: those of members that have a `this`, and among them those of adjusting thunks.
_WITH_THIS = frozenset("ABEFGHIJMNOPQRUVWX")
_THUNKS = frozenset("GHOPWX")
_DEEPEST = 64
_MOST_REFERENCES = 10


class Malformed(Exception):
    """The text is not a decorated name that is understood."""


class TypeParser(ABC):
    """A position in a decorated name, and the names and types that it may refer back to."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.names: List[str] = []
        self.types: List[str] = []
        self.depth = 0
        #: Whether the type behind a conversion operator's name was read with the name.
        self.conversion_read = False

    @abstractmethod
    def qualified(self) -> str:
        """A name with its scopes."""

    @contextmanager
    def nesting(self) -> Iterator[None]:
        """Bound how deep names and types lie in each other."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Malformed
        yield
        self.depth -= 1

    def peek(self) -> str:
        """The character here, "" at the end."""
        return self.text[self.at : self.at + 1]

    def eat(self, words: str) -> bool:
        """Step over `words` if they stand here."""
        if self.text.startswith(words, self.at):
            self.at += len(words)
            return True
        return False

    def expect(self, words: str) -> None:
        """Step over `words`; Malformed where they do not stand here."""
        if not self.eat(words):
            raise Malformed

    def take(self, count: int) -> str:
        """The next characters."""
        found = self.text[self.at : self.at + count]
        if len(found) < count:
            raise Malformed
        self.at += count
        return found

    def until(self, mark: str) -> str:
        """What stands before the next `mark`, which is stepped over."""
        end = self.text.find(mark, self.at)
        if end < 0:
            raise Malformed
        found = self.text[self.at : end]
        self.at = end + 1
        return found

    def identifier(self) -> str:
        """A name up to its `@`."""
        found = self.until("@")
        if not found or "?" in found:
            raise Malformed
        return found

    def remember(self, name: str) -> str:
        """Keep a name for back references."""
        if len(self.names) < _MOST_REFERENCES and name not in self.names:
            self.names.append(name)
        return name

    def remembered_name(self) -> str:
        """The name that a digit refers to."""
        return self._referred(self.names)

    def _referred(self, kept: List[str]) -> str:
        index = int(self.take(1))
        if index >= len(kept):
            raise Malformed
        return kept[index]

    def number(self) -> int:
        """An encoded number: 1 to 10 as a digit, others in the letters A to P, `?` before a negative one."""
        sign = -1 if self.eat("?") else 1
        if self.peek() in "0123456789" and self.peek():
            return sign * (int(self.take(1)) + 1)
        value = 0
        letters = self.until("@")
        if not letters or len(letters) > 16 or any(not "A" <= letter <= "P" for letter in letters):
            raise Malformed
        for letter in letters:
            value = value * 16 + ord(letter) - ord("A")
        return sign * value

    def type(self) -> str:
        """A type as text."""
        left, right = self.parts()
        return left + right

    def parts(self) -> Parts:
        """A type, as what stands before and behind a declared name."""
        with self.nesting():
            code = self.peek()
            if code in _POINTERS:
                self.at += 1
                return self.pointer(*_POINTERS[code])
            if self.eat("$$"):
                return self.extended()
            if self.eat("Y"):
                return self.array()
            if self.peek() in ("T", "U", "V"):
                self.take(1)
                return self.qualified(), ""
            if self.eat("W"):
                self.take(1)
                return f"enum {self.qualified()}", ""
            if self.eat("?<auto>@@"):
                return "<auto>", ""
            if self.eat("?"):
                qualifiers = self.qualifier()
                left, right = self.parts()
                return left + qualifiers, right
            code = self.take(1)
            if code == "_":
                code += self.take(1)
            if code not in _PLAIN:
                raise Malformed
            return _PLAIN[code], ""

    def extended(self) -> Parts:
        """A type behind `$$`."""
        if self.eat("A6"):
            call, result, arguments = self.function()
            return f"{''.join(result)} {call}", arguments
        if self.eat("B"):
            return self.parts()
        if self.eat("C"):
            qualifiers = self.qualifier()
            left, right = self.parts()
            return f"{left}{qualifiers} ", right
        if self.eat("Q"):
            return self.pointer("&&", "")
        if self.eat("R"):
            return self.pointer("&&", " volatile")
        if self.eat("T"):
            return "std::nullptr_t", ""
        raise Malformed

    def array(self) -> Parts:
        count = self.number()
        if not 0 < count <= 64:
            raise Malformed
        bounds = "".join(f"[{self.number()}]" for _ in range(count))
        left, right = self.parts()
        return (left + " ", bounds + right) if not right else (left, bounds + right)

    def qualifier(self) -> str:
        """`const` and `volatile`, with a space before each."""
        code = self.take(1)
        if code not in _QUALIFIERS:
            raise Malformed
        return _QUALIFIERS[code]

    def width(self) -> Tuple[str, str]:
        """What stands before a pointer's star (__unaligned) and behind it (__ptr64, __restrict)."""
        before = behind = ""
        while True:
            if self.eat("E"):
                behind += " __ptr64"
            elif self.eat("I"):
                behind += " __restrict"
            elif self.eat("F"):
                before = " __unaligned"
            else:
                return before, behind

    def pointer(self, mark: str, qualifiers: str) -> Parts:
        if self.eat("6"):
            return self.function_pointer("", mark + qualifiers)
        if self.eat("8"):
            return self.function_pointer(f" {self.qualified()}::", mark + qualifiers, self.this())
        before, width = self.width()
        owner = ""
        code = self.take(1)
        if code in "QRST":
            owner = self.qualified() + "::"
            code = "ABCD"["QRST".index(code)]
        if code not in _QUALIFIERS:
            raise Malformed
        left, right = self.parts()
        pointee = _QUALIFIERS[code]
        if pointee and not left.endswith(pointee):
            left += pointee
        left = left.rstrip(" ") + before
        if right.startswith("["):
            return f"{left} ({owner}{mark}{width}{qualifiers}", f"){right}"
        gap = "" if left.endswith(("*", "&")) else " "
        return f"{left}{gap}{owner}{mark}{width}{qualifiers}", right

    def function_pointer(self, owner: str, mark: str, this: str = "") -> Parts:
        call, (left, right), arguments = self.function()
        # A function that gives a pointer to a function stands inside that one's parentheses.
        gap = "" if right else " "
        return f"{left}{gap}({call}{owner}{mark}", f"){arguments}{this}{right}"

    def this(self) -> str:
        """The qualifiers of a member function's `this`."""
        width = ""
        while self.peek() in ("E", "F", "G", "H", "I"):
            if self.take(1) == "E":
                width = " __ptr64"
        return self.qualifier().lstrip() + width

    def function(self) -> Tuple[str, Parts, str]:
        """(calling convention, result, arguments in parentheses) of a function type."""
        code = self.take(1)
        if code not in _CALLS:
            raise Malformed
        result = ("", "") if self.eat("@") else self.parts()
        arguments = f"({self.arguments()})"
        if not self.eat("Z"):
            self.expect("_E")
            arguments += " noexcept"
        return _CALLS[code], result, arguments

    def arguments(self) -> str:
        """The arguments of a function; what takes more than a letter can be referred back to."""
        if self.eat("X"):
            return "void"
        found: List[str] = []
        while True:
            if self.eat("@"):
                return ",".join(found)
            if self.eat("Z"):
                return ",".join([*found, "..."])
            if self.peek().isdigit():
                found.append(self._referred(self.types))
                continue
            start = self.at
            found.append(self.type())
            if self.at - start > 1 and len(self.types) < _MOST_REFERENCES:
                self.types.append(found[-1])

    def encoding(self) -> str:
        """What stands behind a symbol's name: its type. Gives the result where that is a function's, else ""."""
        code = self.take(1)
        if code in "01234":
            self.type()
            self.width()
            if self.peek() in ("Q", "R", "S", "T"):
                self.take(1)
                self.qualified()
            else:
                self.qualifier()
            return ""
        if code in "67":
            self.width()
            self.qualifier()
            while not self.eat("@"):
                self.qualified()
            return ""
        if code in "89":
            return ""
        if code == "$":
            return self.thunk()
        if not "A" <= code <= "Z":
            raise Malformed
        if code in _THUNKS:
            self.number()
        if code in _WITH_THIS:
            self.this()
        return "".join(self.function()[1])

    def thunk(self) -> str:
        """A function that adjusts `this` on its way to a virtual base: numbers, then the function's type."""
        if self.eat("$J0"):
            return self.encoding()
        count = 4 if self.eat("R") else 2
        if not "0" <= self.take(1) <= "5":
            raise Malformed
        for _ in range(count):
            self.number()
        self.this()
        return "".join(self.function()[1])
