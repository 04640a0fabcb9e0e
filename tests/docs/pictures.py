"""Pictures of dumpkit in a terminal, as SVG: what the commands print now, in the colours of a terminal."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Dict, Iterator, List, Sequence, Tuple

from dumpkit.dispatcher import Dispatcher
from dumpkit.output import Line, Span, printable

from tests.docs.pages import ROOT, example_dump

FOLDER = ROOT / "docs" / "pictures"

_COLUMN, _ROW, _MARGIN = 7.85, 18, 16
_MOST_COLUMNS = 142
#: Style -> colour on the dark ground.
_COLOURS = {
    "address": "#6cc7d9",
    "symbol": "#e0c46c",
    "heading": "#ffffff",
    "good": "#7fd88f",
    "warning": "#e0c46c",
    "error": "#ff8a80",
    "dim": "#8b949e",
    "prompt": "#8ab4f8",
}

#: A session: the example, and for each command which of its lines are shown (start, end).
Shown = Tuple[str, int, int]
SESSIONS: Dict[str, Tuple[str, Sequence[Shown]]] = {
    "walkthrough": (
        "fast-mutex-irql",
        (("!di", 0, 99), ("!analyze -show", 0, 99), ("!mex.t ffffb507729e3040", 0, 12), ("!irql 4", 0, 99)),
    ),
    "verdict": ("fast-mutex-irql", (("!irqlcheck", 30, 99),)),
    "pool": ("pool-0x13a", (("!pool ffffe2809abee000", 0, 99), ("!analyze", 0, 99))),
}


def _lines(folder: str, shown: Sequence[Shown]) -> Iterator[Line]:
    dump = example_dump(folder)
    session = dump.session
    session.select_processor(dump.target.current_processor)
    for command, start, end in shown:
        yield (Span(session.prompt, "prompt"), command)
        lines = list(Dispatcher(session).lines(command))
        if start:
            yield (Span("…", "dim"),)
        yield from lines[start:end]
        if end < len(lines):
            yield (Span("…", "dim"),)


def picture(folder: str, shown: Sequence[Shown]) -> str:
    """A session as SVG."""
    rows: List[str] = []
    width = 0
    for number, line in enumerate(_lines(folder, shown)):
        pieces = (
            [Span(line)] if isinstance(line, str) else [each if isinstance(each, Span) else Span(each) for each in line]
        )
        x, made = 0, []
        for piece in pieces:
            text = printable(piece.text)[: max(_MOST_COLUMNS - x, 0)]
            colour = _COLOURS.get(piece.style or "", "")
            fill = f' fill="{colour}"' if colour else ""
            if text.strip():
                made.append(f'<tspan x="{_MARGIN + x * _COLUMN:.1f}"{fill}>{escape(text)}</tspan>')
            x += len(text)
        width = max(width, x)
        rows.append(f'<text y="{_MARGIN + _ROW * (number + 1) - 5}" xml:space="preserve">{"".join(made)}</text>')
    size = f"{width * _COLUMN + 2 * _MARGIN:.0f}", f"{len(rows) * _ROW + 2 * _MARGIN}"
    style = "font:13px ui-monospace,SFMono-Regular,Consolas,'DejaVu Sans Mono',monospace;fill:#d6dbe0"
    body = "\n".join(rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}">\n'
        '<rect width="100%" height="100%" rx="8" fill="#14171a"/>\n'
        f'<g style="{style}">\n{body}\n</g></svg>\n'
    )


def pictures() -> Dict[str, str]:
    """Every picture by its file's name."""
    return {f"{name}.svg": picture(folder, shown) for name, (folder, shown) in SESSIONS.items()}


def write(folder: Path = FOLDER) -> None:
    """Write every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pictures().items():
        (folder / name).write_text(text, encoding="utf-8")
