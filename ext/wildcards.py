"""Patterns as the debugger has them in `$spat`, `lm m` and `x`: * ? [a-z] and repetitions.

Source: "String Wildcard Syntax" in Microsoft's debugger documentation.
"""

from __future__ import annotations

import re

from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, FrozenSet, List, Optional, Set, Tuple


class _Piece(NamedTuple):
    """A part of a pattern: one of some characters (any where None), once, or any number of times."""

    characters: Optional[FrozenSet[str]]
    repeated: bool = False

    def accepts(self, character: str) -> bool:
        return self.characters is None or character in self.characters


def _set(pattern: str, position: int) -> Tuple[Optional[FrozenSet[str]], int]:
    """The characters of `[a-z_]` at a place, and the place behind it; None where no bracket closes it."""
    end = pattern.find("]", position + 1)
    if end < 0:
        return None, position
    inner = pattern[position + 1 : end]
    characters: Set[str] = set()
    place = 0
    while place < len(inner):
        if inner[place + 1 : place + 2] == "-" and place + 2 < len(inner):
            first, last = ord(inner[place]), ord(inner[place + 2])
            characters.update(chr(code) for code in range(first, min(last, first + 0x100) + 1))
            place += 3
        else:
            characters.add(inner[place])
            place += 1
    return frozenset(characters), end + 1


def _pieces(pattern: str) -> List[_Piece]:
    pieces: List[_Piece] = []
    place = 0
    while place < len(pattern):
        character = pattern[place]
        place += 1
        if character == "*":
            pieces.append(_Piece(None, True))
        elif character == "?":
            pieces.append(_Piece(None))
        elif character == "+" and pieces:
            pieces.append(pieces[-1]._replace(repeated=True))
        elif character == "#" and pieces:
            pieces[-1] = pieces[-1]._replace(repeated=True)
        elif character == "[":
            characters, end = _set(pattern, place - 1)
            pieces.append(_Piece(characters if characters is not None else frozenset("[")))
            place = end if characters is not None else place
        else:
            if character == "\\" and place < len(pattern):
                character = pattern[place]
                place += 1
            pieces.append(_Piece(frozenset(character)))
    return pieces


def matches(text: str, pattern: str) -> bool:
    """Whether the whole text fits a pattern, in any case.

    `*` is any characters, `?` one, `[a-f]` one of these; `#` behind a character lets it stand any number
    of times, `+` at least once; a backslash takes the next character as it is. Takes time in proportion to
    the product of both lengths, whatever they are.
    """
    pieces = _pieces(pattern.lower())
    reached = _with_skips(pieces, {0})
    for character in text.lower():
        following: Set[int] = set()
        for place in reached:
            if place < len(pieces) and pieces[place].accepts(character):
                following.add(place if pieces[place].repeated else place + 1)
        reached = _with_skips(pieces, following)
    return len(pieces) in reached


#: Patterns with more stars than this are not left to backtracking.
_FEW_STARS = 4


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test of many names against one pattern, with the meaning of `matches`."""
    pieces = _pieces(pattern.lower())
    if sum(piece.repeated for piece in pieces) > _FEW_STARS:
        return lambda text: matches(text, pattern)
    fits = re.compile("".join(_expression(piece) for piece in pieces), re.IGNORECASE | re.DOTALL).fullmatch
    return lambda text: fits(text) is not None


def _expression(piece: _Piece) -> str:
    one = "." if piece.characters is None else f"[{''.join(map(re.escape, sorted(piece.characters)))}]"
    # A set without a character fits nothing.
    return (one if one != "[]" else "(?!)") + ("*" if piece.repeated else "")


def _with_skips(pieces: List[_Piece], places: Set[int]) -> Set[int]:
    """Places in the pattern, and those reached by leaving out what may stand there no time at all."""
    reached: Set[int] = set()
    for place in places:
        while place not in reached:
            reached.add(place)
            if place < len(pieces) and pieces[place].repeated:
                place += 1
    return reached
