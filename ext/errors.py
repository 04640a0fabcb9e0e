"""The errors of dumpkit: one small tree, every message one line that says what and why."""

from __future__ import annotations

from typing import Optional


class DumpkitError(Exception):
    """Anything that a user can cause or meet; its text is one line, ready to be shown."""


class DumpFormatError(DumpkitError):
    """A file is not a dump that can be read: the message names what it is, or what is damaged."""


class MemoryReadError(DumpkitError):
    """Memory could not be read.

    `address` is the first byte that could not be read (virtual or physical, as `space` says);
    `reason` is a clause such as "not present at PDE" or "page 19e511 not in the dump".
    """

    def __init__(self, address: int, reason: str, space: str = "virtual") -> None:
        self.address = address
        self.reason = reason
        self.space = space
        super().__init__(f"Memory read error at {space} address {address:016x}: {reason}")


class SymbolError(DumpkitError):
    """A name, a type or a symbol file is missing or cannot be read; the message says where it was looked for."""


class RegisterError(DumpkitError):
    """The context has no register of that name."""


class ExpressionError(DumpkitError):
    """A MASM expression cannot be evaluated.

    The text is the debugger's own ("Couldn't resolve error at 'foo'"); `offset` is the position in
    the expression, in characters, at which it was noticed.
    """

    def __init__(self, message: str, offset: int = 0) -> None:
        self.offset = offset
        super().__init__(message)


class CommandError(DumpkitError):
    """A command cannot do what it was asked: unknown, wrong arguments, or not possible on this target.

    `usage` is the synopsis to show with it, where the arguments were at fault.
    """

    def __init__(self, message: str, usage: Optional[str] = None) -> None:
        self.usage = usage
        super().__init__(message)
