"""The names in decorated C++ symbols: scopes, operators, templates.

Grammar: the decoration that Clang writes (MicrosoftMangle.cpp) and what is public of Microsoft's own.
"""

from __future__ import annotations

from dumpkit.symbols.undecorate_types import Malformed, TypeParser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

#: What WinDbg calls a string constant.
STRING_LITERAL = "`string'"

_OPERATORS = {
    "2": "operator new", "3": "operator delete", "4": "operator=", "5": "operator>>", "6": "operator<<",
    "7": "operator!", "8": "operator==", "9": "operator!=", "A": "operator[]", "C": "operator->",
    "D": "operator*", "E": "operator++", "F": "operator--", "G": "operator-", "H": "operator+",
    "I": "operator&", "J": "operator->*", "K": "operator/", "L": "operator%", "M": "operator<",
    "N": "operator<=", "O": "operator>", "P": "operator>=", "Q": "operator,", "R": "operator()",
    "S": "operator~", "T": "operator^", "U": "operator|", "V": "operator&&", "W": "operator||",
    "X": "operator*=", "Y": "operator+=", "Z": "operator-=",
    "_0": "operator/=", "_1": "operator%=", "_2": "operator>>=", "_3": "operator<<=", "_4": "operator&=",
    "_5": "operator|=", "_6": "operator^=", "_7": "`vftable'", "_8": "`vbtable'", "_9": "`vcall'",
    "_A": "`typeof'", "_B": "`local static guard'", "_C": STRING_LITERAL, "_D": "`vbase destructor'",
    "_E": "`vector deleting destructor'", "_F": "`default constructor closure'",
    "_G": "`scalar deleting destructor'", "_H": "`vector constructor iterator'",
    "_I": "`vector destructor iterator'", "_J": "`vector vbase constructor iterator'",
    "_K": "`virtual displacement map'", "_L": "`eh vector constructor iterator'",
    "_M": "`eh vector destructor iterator'", "_N": "`eh vector vbase constructor iterator'",
    "_O": "`copy constructor closure'", "_S": "`local vftable'",
    "_T": "`local vftable constructor closure'", "_U": "operator new[]", "_V": "operator delete[]",
    "_X": "`placement delete closure'", "_Y": "`placement delete[] closure'",
    "__A": "`managed vector constructor iterator'", "__B": "`managed vector destructor iterator'",
    "__C": "`eh vector copy constructor iterator'", "__D": "`eh vector vbase copy constructor iterator'",
    "__G": "`vector copy constructor iterator'", "__H": "`vector vbase copy constructor iterator'",
    "__I": "`managed vector copy constructor iterator'", "__J": "`local static thread guard'",
    "__L": "operator co_await", "__M": "operator<=>",
}  # fmt: skip
_RTTI = {
    "2": "`RTTI Base Class Array'",
    "3": "`RTTI Class Hierarchy Descriptor'",
    "4": "`RTTI Complete Object Locator'",
}


def name_of(linkage: str) -> Optional[str]:
    """The name in a decorated symbol, with its scopes and template arguments; None where it is not understood."""
    try:
        return _Undecorator(linkage).symbol()
    except Malformed:
        return None


class _Undecorator(TypeParser):
    """The grammar of names; that of types lies in the base class."""

    def symbol(self) -> str:
        """The name of the decorated symbol here; what follows the name is left unread."""
        self.expect("?")
        piece, arguments = self.piece_of_symbol()
        scopes = self.scopes()
        if piece in ("", "~"):
            # Constructors and destructors are named after their class.
            if not scopes:
                raise Malformed
            piece += scopes[0]
        elif piece == "operator ":
            piece, arguments = f"operator{arguments} {self.conversion()}", ""
        elif piece == "`vcall'" and self.eat("$B"):
            piece += f"{{{self.number()}}}'"
        return "::".join([*reversed(scopes), piece + arguments])

    def whole_symbol(self) -> str:
        """The name of the decorated symbol here, its type read too."""
        with self.nesting():
            name = self.symbol()
            if not self.conversion_read:
                self.encoding()
            self.conversion_read = False
            return name

    def conversion(self) -> str:
        """The type that a conversion operator gives: the result in the type that follows its name."""
        self.conversion_read = True
        return self.encoding()

    def scopes(self) -> List[str]:
        """What the name is declared in, innermost first."""
        scopes: List[str] = []
        while not self.eat("@"):
            scopes.append(self.scope())
        return scopes

    def qualified(self) -> str:
        """A name with its scopes, as types have it."""
        with self.nesting():
            piece = self.scope()
            return "::".join([*reversed(self.scopes()), piece])

    def scope(self) -> str:
        """One piece of a qualified name."""
        if self.peek().isdigit():
            return self.remembered_name()
        if self.eat("?$"):
            return self.remember("".join(self.template()))
        if self.eat("?A"):
            self.until("@")
            return self.remember("`anonymous namespace'")
        if self.eat("?"):
            number = self.number()
            self.expect("?")
            return f"`{self.whole_symbol()}'::`{number}'"
        return self.remember(self.identifier())

    def piece_of_symbol(self) -> Tuple[str, str]:
        """The innermost piece of a symbol's name, and its template arguments.

        "" and "~" stand for a constructor and a destructor, "operator " for a conversion.
        """
        if self.eat("?$"):
            return self.template()
        if self.eat("?"):
            return self.operator(), ""
        if self.peek().isdigit():
            return self.remembered_name(), ""
        return self.remember(self.identifier()), ""

    def operator(self) -> str:
        """The name of an operator or of something that the compiler made."""
        if self.eat("0"):
            return ""
        if self.eat("1"):
            return "~"
        if self.eat("B"):
            return "operator "
        if self.eat("_R"):
            return self.rtti()
        if self.eat("__E") or self.eat("__F"):
            what = "dynamic initializer" if self.text[self.at - 1] == "E" else "dynamic atexit destructor"
            return f"`{what} for '{self.initialized()}''"
        if self.eat("__K"):
            return f'operator ""{self.identifier()}'
        code = self.take(1)
        while code in ("_", "__"):
            code += self.take(1)
        if code not in _OPERATORS:
            raise Malformed
        return _OPERATORS[code]

    def initialized(self) -> str:
        """The variable that a dynamic initializer belongs to: a decorated symbol, or a plain name."""
        if self.peek() == "?":
            name = self.whole_symbol()
            self.eat("@")
            return name
        return self.remember(self.identifier())

    def rtti(self) -> str:
        kind = self.take(1)
        if kind == "0":
            described = self.type()
            return f"{described} `RTTI Type Descriptor'"
        if kind == "1":
            numbers = ",".join(str(self.number()) for _ in range(4))
            return f"`RTTI Base Class Descriptor at ({numbers})'"
        if kind not in _RTTI:
            raise Malformed
        return _RTTI[kind]

    def template(self) -> Tuple[str, str]:
        """A template's name, and its arguments in brackets. Back references inside count anew."""
        with self.nesting():
            outer = self.names, self.types
            self.names, self.types = [], []
            piece = self.operator() if self.eat("?") else self.remember(self.identifier())
            arguments = []
            while not self.eat("@"):
                argument = self.template_argument()
                if argument is not None:
                    arguments.append(argument)
            self.names, self.types = outer
            text = ",".join(arguments)
            return piece, f"<{text}{' ' if text.endswith('>') else ''}>"

    def template_argument(self) -> Optional[str]:
        """One argument; None for the mark of an empty pack."""
        if self.eat("$$V") or self.eat("$$Z") or self.eat("$S"):
            return None
        if self.eat("$0"):
            return str(self.number())
        if self.eat("$1"):
            return f"&{self.whole_symbol()}"
        if self.eat("$E"):
            return self.whole_symbol()
        for code, count in (("$H", 1), ("$I", 2), ("$J", 3)):
            # A pointer to a member function, with what to add to `this`.
            if self.eat(code):
                return "{" + ",".join([self.whole_symbol(), *(str(self.number()) for _ in range(count))]) + "}"
        if self.eat("$M"):
            self.type()
            return self.template_argument()
        return self.type()
