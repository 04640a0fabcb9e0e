"""Names in MASM expressions: a word is a number, a register, a pseudo-register, a module or a symbol.

The order is the engine's: the old 32-bit registers, then numbers, pseudo-registers, symbols and modules,
and last the other registers, which is why `@` before a register saves a search.
"""

from __future__ import annotations

from dumpkit.errors import AmbiguousNameError, AmbiguousSymbolError, ExpressionError, RegisterError, SymbolError
from dumpkit.expression.scope import PSEUDO_REGISTERS, Scope
from dumpkit.expression.tokens import MEMBER, U64_MASK, WORD, after_bang, read_number, template_end, word_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

    from typing_extensions import TypeAlias

#: A value and the place behind the words that it was read from.
Found: TypeAlias = "Tuple[int, int]"


def read_name(text: str, scope: Scope, position: int, extend: bool = True) -> Found:
    """The value of the word at `position`, which is no operator.

    `extend` says whether numbers of 32 bits are sign-extended. Raises ExpressionError.
    """
    match = WORD.match(text, position)
    word, end = (match.group(), match.end()) if match is not None else ("", position)
    name = word.lower()
    # A name glued to an exclamation mark is a module's, even one that reads as a number.
    module = text[end : end + 1] == "!" and text[end + 1 : end + 2] != "="
    if not module and name in scope.whole_registers:
        return read_register(text, scope, position, scope.whole_registers[name]), end
    number = read_number(text, position, scope.radix, extend) if not module and "::" not in word else None
    if number is not None:
        return number
    place = after_bang(text, end)
    if place is not None:
        return _member(text, scope, position, place)
    if name[:1] == "$" and name[1:] in PSEUDO_REGISTERS:
        return read_register(text, scope, position, name), end
    return _symbol(text, scope, position, end)


def read_global(text: str, scope: Scope, position: int) -> Found:
    """The address of the symbol behind the exclamation mark at `position`, which keeps it from being a number."""
    match = WORD.match(text, position + 1)
    if match is None:
        raise ExpressionError("Syntax error at", position, text)
    place = after_bang(text, match.end())
    if place is not None:
        return _member(text, scope, position, place)
    return _symbol(text, scope, position, match.end())


def read_marked(text: str, scope: Scope, position: int) -> Found:
    """The value of a register or pseudo-register behind the @ at `position`, or the symbol of @!"any characters"."""
    if text.startswith("@!", position):
        return _quoted(text, scope, position)
    end = word_end(text, position + 1)
    return read_register(text, scope, position, text[position + 1 : end].lower()), end


def read_register(text: str, scope: Scope, position: int, name: str) -> int:
    """The value of a register, or of a pseudo-register where the name has its dollar sign."""
    try:
        if name[:1] == "$" and name[1:] in PSEUDO_REGISTERS:
            return scope.pseudo_register(name[1:]) & U64_MASK
        return scope.register(name) & U64_MASK
    except RegisterError as error:
        raise ExpressionError("Bad register error at", position, text) from error


def _member(text: str, scope: Scope, position: int, place: int) -> Found:
    """`module!symbol`, whose symbol starts at `place`."""
    match = MEMBER.match(text, place)
    if match is None:
        raise ExpressionError("Syntax error at", position, text)
    return _symbol(text, scope, position, match.end())


def _symbol(text: str, scope: Scope, position: int, end: int) -> Found:
    """The address of the name between two places, or else the register's value.

    Where a `<` follows module!name and there is no such name, it may be a template's: a!f<int>. The engine
    knows those only in the form @!"a!f<int>".
    """
    name = "".join(text[position:end].split())
    cause: Optional[SymbolError] = None
    try:
        return scope.symbol(name) & U64_MASK, end
    except AmbiguousSymbolError as error:
        raise _ambiguous(error, position, text) from error
    except SymbolError as error:
        cause = error
    longer = template_end(text, end) if "!" in name and text[end : end + 1] == "<" else None
    try:
        if longer is not None:
            return scope.symbol(name + text[end:longer]) & U64_MASK, longer
        if "!" not in name:
            return scope.register(name.lower()) & U64_MASK, end
    except (SymbolError, RegisterError):
        # Neither says more than the search for the name itself, which is the cause of the error below.
        pass
    raise ExpressionError("Couldn't resolve error at", position, text) from cause


def _quoted(text: str, scope: Scope, position: int) -> Found:
    end = text.find('"', position + 3)
    if text[position + 2 : position + 3] != '"' or end <= position + 3:
        raise ExpressionError("Syntax error at", position, text)
    try:
        return scope.symbol(text[position + 3 : end]) & U64_MASK, end + 1
    except AmbiguousSymbolError as error:
        raise _ambiguous(error, position, text) from error
    except SymbolError as error:
        raise ExpressionError("Couldn't resolve error at", position, text) from error


def _ambiguous(error: AmbiguousSymbolError, position: int, text: str) -> ExpressionError:
    from dumpkit.numbers import quoted

    matches = []
    for found in error.matches:
        what = "= <no type information>" if found.is_function is False else "(<no parameter info>)"
        matches.append(f"{quoted(found.address)} {found} {what}")
    return AmbiguousNameError(matches, position, text)
