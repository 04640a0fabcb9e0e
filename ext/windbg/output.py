"""Output to WinDbg's command window: no write longer than the window takes, links where it takes them."""

from __future__ import annotations

from dumpkit.output import Line, Output, Span, Unfinished, dml, plain
from dumpkit.windbg import pykd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, List, Sequence, TextIO

#: pykd-ext cuts what one write has behind this many characters.
LONGEST_WRITE = 16_383


def writes(texts: Sequence[str], longest: int = LONGEST_WRITE) -> Iterator[str]:
    """Texts joined and parted into pieces that each fit one write; a text that fits is never parted."""
    some: List[str] = []
    length = 0
    for text in texts:
        if length + len(text) > longest and some:
            yield "".join(some)
            some, length = [], 0
        while len(text) > longest:
            yield text[:longest]
            text = text[longest:]
        if text:
            some.append(text)
            length += len(text)
    if some:
        yield "".join(some)


class WindbgOutput(Output):
    """Where a command's lines go inside WinDbg.

    `takes_dml` says whether links are written; `link` makes of a command of dumpkit one that WinDbg knows.
    """

    def __init__(self, stream: TextIO, takes_dml: bool, link: Callable[[str], str]) -> None:
        super().__init__(stream)
        self.takes_dml = takes_dml
        self._link = link

    def _write(self, lines: Sequence[Line]) -> None:
        if self.log is not None:
            self.log.write("".join([plain(line) + "\n" for line in lines])[: self._to_end(lines)])
        if not self.takes_dml:
            texts = [plain(line) + "\n" for line in lines]
            if texts:
                texts[-1] = texts[-1][: self._to_end(lines)]
            for piece in writes(texts):
                self.stream.write(piece)
            return
        for piece in writes([part for line in lines for part in self._marked(line)]):
            pykd.dprint(piece, True)

    def _marked(self, line: Line) -> Iterator[str]:
        """A line in DML, a link never parted; one without links in parts of any length."""
        pieces = (line,) if isinstance(line, str) else line
        for piece in pieces:
            if isinstance(piece, Span) and piece.command:
                yield dml((piece._replace(command=self._link(piece.command)),))
            else:
                yield from self._escaped(piece if isinstance(piece, str) else piece.text)
        if type(line) is not Unfinished:
            yield "\n"

    def _escaped(self, text: str) -> Iterator[str]:
        # Escaping makes at most six characters of one: what is parted before it fits behind it.
        for start in range(0, len(text), LONGEST_WRITE // 6):
            yield dml(text[start : start + LONGEST_WRITE // 6])


def takes_dml() -> bool:
    """Whether links written to the debugger are seen as such: inside WinDbg, not where a program drives the engine."""
    return bool(pykd.isWindbgExt())
