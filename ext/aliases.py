"""Aliases: names that stand for text in the lines that a user types, `as NAME TEXT`, and the fixed ones, $u0 to $u9.

Source: "Using Aliases" and "${ } (Alias Interpreter)" in Microsoft's debugger documentation, and the engine's answers.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import Match
    from typing import Dict, Mapping

_INTERPRETED = r"\$\{(?:/([dfnv]):)?([^{}]*)\}"
_FIXED = r"\$u([0-9])"
#: In a line that begins so, names stand for themselves: they are what is defined or deleted.
_DEFINING = ("as", "aS", "ad", "al")
#: A longer line is one whose aliases lead back to themselves.
LONGEST_LINE = 1 << 20


class Aliases:
    """The aliases of a session, by name; `fixed` holds $u0 to $u9 by their digit."""

    def __init__(self) -> None:
        self.named: Dict[str, str] = {}
        self.fixed: Dict[str, str] = {}

    def expand(self, line: str) -> str:
        """A line, or a block of commands, with each alias replaced by its text, once.

        A name is replaced where it stands alone, between white space, semicolons and quotes, and in ${NAME} wherever
        that stands.
        """
        if "$u" in line:
            # Most sessions have no alias, and need no patterns.
            from re import sub

            line = sub(_FIXED, lambda match: self.fixed.get(match.group(1), ""), line)
        if "${" not in line and not self.named:
            return line
        return replaced(line, self.named)[:LONGEST_LINE]


def replaced(line: str, named: Mapping[str, str]) -> str:
    """A line with the names of some aliases replaced, once: what stands for them is taken as it is."""
    from re import escape, sub

    if line.split(None, 1)[:1] and line.split(None, 1)[0] in _DEFINING:
        return line
    pattern = _INTERPRETED
    if named:
        # The longest first: none is a part of another where both could stand.
        names = "|".join(escape(name) for name in sorted(named, key=len, reverse=True))
        pattern += rf"|(?<![^\s;\"'])({names})(?![^\s;\"'])"
    return sub(pattern, lambda match: _text_of(match, named), line)


def _text_of(match: Match[str], named: Mapping[str, str]) -> str:
    bare = match.groups()[2:]
    return named[bare[0]] if bare and bare[0] is not None else _interpreted(match, named)


def _interpreted(match: Match[str], named: Mapping[str, str]) -> str:
    """What stands for ${NAME}: /d: whether there is one, /f: nothing where there is none, /n: the name."""
    switch, name = match.groups()[:2]
    known = named.get(name)
    if switch == "d":
        return "1" if known is not None else "0"
    if switch == "f":
        return known or ""
    if known is None or switch == "v":
        return match.group()
    return name if switch == "n" else known
