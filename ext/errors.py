"""The errors of dumpkit: one small tree, every message one line that says what and why."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional, Sequence


class DumpkitError(Exception):
    """Anything that a user can cause or meet; its text is one line, ready to be shown."""


class UnwritableError(DumpkitError):
    """What dumpkit shows cannot be written: a full disk, a log on a share that went away."""


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


class AmbiguousSymbolError(SymbolError):
    """A name stands for several places; `matches` are the symbols of that name, each with its `address`."""

    def __init__(self, name: str, matches: Sequence[Any]) -> None:
        self.matches = matches
        places = ", ".join(f"{found} at {found.address:016x}" for found in matches)
        super().__init__(f"{name} is ambiguous: {places}")


class UnwindError(DumpkitError):
    """A frame cannot be unwound by its image's unwind data: the message says what is missing or damaged."""


class RegisterError(DumpkitError):
    """The context has no register of that name."""


#: How those messages end behind which the debugger quotes the command without a word between.
_WITHOUT_IN = (" from", " for", " control character", " a length")


class ExpressionError(DumpkitError):
    """A command line cannot be understood: an expression, a range, or what stands behind them.

    The words are the debugger's own, in its two forms. Plain, it quotes the text from the place on:
    "Couldn't resolve error at 'foo+8'". With `caret` it quotes the whole text and points into it:
    "    ^ Range error in 'db nt 4'"; `pointed` gives the line with its caret.

    `kind` is the message without its quotation; `offset` the place in `text`, in characters; `end`
    where a plain quotation stops, the end of `text` where None. Without `text` there is no quotation.
    """

    def __init__(
        self, kind: str, offset: int = 0, text: Optional[str] = None, end: Optional[int] = None, caret: bool = False
    ) -> None:
        self.kind = kind
        self.offset = offset
        self.text = text
        self.end = end
        self.caret = caret
        #: What the command found nevertheless, shown before the error: the debugger sees what is left over last.
        self.found: Any = None
        if text is None:
            message = kind
        elif caret:
            message = f"{kind} '{text}'" if kind.endswith(_WITHOUT_IN) else f"{kind} in '{text}'"
        else:
            message = f"{kind} '{text[offset:end] or '<EOL>'}'"
        super().__init__(message)

    def within(self, line: str, start: int, end: Optional[int] = None) -> ExpressionError:
        """The same error in the line that `text` is a part of, from character `start` on.

        A plain quotation stops at `end` in `line`: where it stopped before, or at the line's end, where None.
        """
        if end is None and self.end is not None:
            end = start + self.end
        error = ExpressionError(self.kind, start + self.offset, line, end, self.caret)
        error.__cause__ = self.__cause__
        return error

    def pointed(self, prompt: str) -> str:
        """The line that the debugger prints below `prompt` and the text, a caret below the place where it has one."""
        if not self.caret:
            return str(self)
        before = "".join("\t" if character == "\t" else " " for character in (self.text or "")[: self.offset])
        return f"{' ' * len(prompt)}{before:<{self.offset}}^ {self}"


class AmbiguousNameError(ExpressionError):
    """A name in an expression stands for several places, which the debugger lists before it refuses it."""

    def __init__(self, matches: Sequence[str], offset: int, text: str, end: Optional[int] = None) -> None:
        #: The lines of the list, without their first word.
        self.matches = matches
        super().__init__("Ambiguous symbol error at", offset, text, end)

    def pointed(self, prompt: str) -> str:
        """The list and the line below it."""
        return "\n".join([*(f"Matched: {match}" for match in self.matches), str(self)])


class CommandError(DumpkitError):
    """A command cannot do what it was asked: unknown, wrong arguments, or not possible on this target.

    `usage` is the synopsis to show with it, where the arguments were at fault.
    """

    def __init__(self, message: str, usage: Optional[str] = None) -> None:
        self.usage = usage
        super().__init__(message)
