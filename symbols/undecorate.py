"""C++ names as the debugger shows them: decorated by Microsoft's compilers, shown by name alone.

The wording is that of WinDbg's public symbols, read off dbgeng: no `struct` or `class`, `enum` kept, `__ptr64`
behind every 64-bit pointer. Decorations that dbgeng does not know (rvalue references, packs) follow the same pattern.
"""

from __future__ import annotations

from itertools import takewhile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

_LONGEST = 4096


def shown_name(linkage: str) -> str:
    """How WinDbg shows a public symbol of that linkage name; a name that cannot be undecorated stays as it is.

    C names lose one leading underscore or dot, and their `@` with the number behind it (the bytes of arguments).
    """
    sign = linkage[:1]
    if sign == "?":
        return undecorate(linkage) or linkage
    if sign in ("_", "."):
        linkage = linkage[2 if linkage.startswith("..") else 1 :]
    if "@" in linkage:
        first, *others = linkage.split("@")
        return first + "".join(takewhile(lambda part: not part[:1].isdecimal(), others))
    return linkage


def undecorate(linkage: str) -> Optional[str]:
    """The name, with its scopes and template arguments, in a decorated C++ name; None where it is none."""
    if not linkage.startswith("?") or len(linkage) > _LONGEST:
        return None
    if "@" not in linkage and "?" not in linkage[1:]:
        return linkage[1:] or None
    if linkage.startswith("??_C@"):
        return _literal(linkage)
    from dumpkit.symbols.undecorate_names import name_of

    return name_of(linkage)


def _literal(linkage: str) -> str:
    """??_C@, then `_`, 0 or 1 for narrow or wide, the length (a digit, or letters and an `@`), a checksum with its
    `@`, the first characters with theirs; and the section that the constant was put in, where that is no usual one."""
    from dumpkit.symbols.undecorate_names import STRING_LITERAL

    parts = linkage.split("@")
    place = 3 if parts[1][2:3].isdigit() else 4
    return f" ?? ::{parts[place]}::{STRING_LITERAL}" if len(parts) > place + 1 else STRING_LITERAL
