"""The words of a MASM expression: numbers, names, characters and strings, read at a place in a text.

Source of the rules: "MASM Numbers and Operators" and "Symbol Syntax" in Microsoft's debugger
documentation, and what the engine answers where they are silent.
"""

from __future__ import annotations

import re

from dumpkit.errors import ExpressionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

U64_MASK = 0xFFFF_FFFF_FFFF_FFFF

#: A name, or a number with what is glued to it; a single colon parts a segment from an offset.
WORD = re.compile(r"(?:[A-Za-z0-9_$.`~]|::)+")

#: What follows the exclamation mark of `module!symbol`: `string', ns::~Class.
MEMBER = re.compile(r"(?:[A-Za-z0-9_$.`']|::~?)+")

_SPACE = " \t\r\n\v\f"
_BASES = {"0x": 16, "0n": 10, "0t": 8, "0y": 2}
_HEXADECIMAL = "0123456789abcdefABCDEF`"


def skip_space(text: str, position: int) -> int:
    """The place of the next character that is no white space."""
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position


def is_word(character: str) -> bool:
    """Whether a character belongs to names and numbers; false for the empty string at the end of a text."""
    return character.isascii() and (character.isalnum() or (character != "" and character in "_$.`~"))


def word_end(text: str, position: int) -> int:
    """The place behind the characters of a name or number at `position`."""
    while position < len(text) and is_word(text[position]):
        position += 1
    return position


def after_bang(text: str, position: int) -> Optional[int]:
    """The place of the symbol in `module ! symbol`, `position` being behind the module; None where no such sign is."""
    place = skip_space(text, position)
    if text[place : place + 1] != "!" or text[place + 1 : place + 2] == "=":
        return None
    return skip_space(text, place + 1)


def read_number(text: str, position: int, radix: int, extend: bool = True) -> Optional[Tuple[int, int]]:
    """The number at `position` and the place behind it; None where a name starts there.

    Numbers have 64 bits; one of 32 bits with the highest set is sign-extended where `extend` is true
    and it has no back-tick. Raises ExpressionError for a number with other characters glued to it, and
    for one that overflows.
    """
    base = _BASES.get(text[position : position + 2].lower())
    first = position
    if base is not None:
        first += 2
    else:
        end = _digits_end(text, position, 16)
        # A single digit with an h is none: ah is a register.
        if end - position > 1 and text[end : end + 1] in ("h", "H") and not is_word(text[end + 1 : end + 2]):
            return _value(text, position, text[position:end], 16, extend), end + 1
        base = radix
    end = _digits_end(text, first, base)
    glued = text[end : end + 1]
    # Only hexadecimal numbers have back-ticks; behind another number one is the start of something else.
    if end > position and not (is_word(glued) and (glued != "`" or end == first)):
        return _value(text, position, text[first:end], base, extend), end
    if text[position].isdigit():
        raise ExpressionError("Syntax error at", position, text)
    return None


def _digits_end(text: str, position: int, base: int) -> int:
    digits = _HEXADECIMAL if base == 16 else _HEXADECIMAL[:base]
    while position < len(text) and text[position] in digits:
        position += 1
    return position


def _value(text: str, position: int, digits: str, base: int, extend: bool) -> int:
    value = _accumulate(digits.replace("`", ""), base)
    if value is None and text[position].isalpha():
        # The engine notices no overflow of a number that starts with a letter, and keeps its low 64 bits.
        value = int(digits.replace("`", "")[-16:], 16)
    if value is None:
        raise ExpressionError("Overflow error at", position, text)
    if extend and 0x8000_0000 <= value <= 0xFFFF_FFFF and "`" not in digits:
        value |= 0xFFFF_FFFF_0000_0000
    return value


def _accumulate(digits: str, base: int) -> Optional[int]:
    """The number, or None where it overflows, which the engine sees by a digit more making the number smaller."""
    if len(digits) <= 16:
        return int(digits, base) if digits else 0
    value = 0
    for digit in digits:
        longer = (value * base + int(digit, 16)) & U64_MASK
        if longer < value:
            return None
        value = longer
    return value


def read_characters(text: str, position: int) -> Tuple[int, int]:
    """The number in a character constant such as 'ab' (0x6162) and the place behind it.

    The last eight bytes count; a backslash stands for the character behind it, two quotes for one. Raises
    ExpressionError where the closing quote is missing.
    """
    value = 0
    place = position + 1
    while place < len(text) and (text[place] != "'" or text.startswith("''", place)):
        if text[place] in "\\'":
            place += 1
        for byte in text[place : place + 1].encode("utf-8", "replace"):
            value = (value << 8 | byte) & U64_MASK
        place += 1
    if place >= len(text):
        raise ExpressionError("Syntax error at", position, text)
    return value, place + 1


def closing_parenthesis(text: str, position: int) -> Optional[int]:
    """The place of the parenthesis that closes the one at `position`, quoted text left out; None where none does."""
    depth = 0
    quote = ""
    place = position
    while place < len(text):
        character = text[place]
        if character == "\\" and quote:
            place += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                return place
        place += 1
    return None


def template_end(text: str, position: int) -> Optional[int]:
    """The place behind the `<...>` that starts at `position`, as in `f<int>`; None where it does not close."""
    depth = 0
    for place in range(position, len(text)):
        character = text[place]
        if character == "<":
            depth += 1
        elif character == ">":
            depth -= 1
            if depth == 0:
                return place + 1
        elif not (character.isalnum() or character in "_:,* &"):
            return None
    return None
