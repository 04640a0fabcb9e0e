"""Pictures in a report, as SVG inside the page: the memory that a dump holds, and who waits for whom."""

from __future__ import annotations

from dumpkit.report.memory_map import MemoryMap
from dumpkit.report.page import Markup, element

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Sequence, Tuple

    from typing_extensions import TypeAlias

_WIDTH, _BAR = 1000, 46
_BOX_WIDTH, _BOX_HEIGHT, _GAP = 300, 46, 46


def memory_picture(memory: MemoryMap) -> Markup:
    """A bar from the lowest to the highest address; the darker a piece, the more of it the dump holds."""
    step = _WIDTH / max(len(memory.shares), 1)
    pieces: List[Markup] = [element("rect", class_="none", x="0", y="0", width=str(_WIDTH), height=str(_BAR))]
    for index, share in enumerate(memory.shares):
        if share:
            # A single page in a large piece must be seen, too.
            opacity = f"{0.25 + 0.75 * share:.2f}"
            x, width = f"{index * step:.2f}", f"{step:.2f}"
            pieces.append(element("rect", class_="held", x=x, y="0", width=width, height=str(_BAR), opacity=opacity))
    label = f"{memory.kind} memory from {memory.start:#x} to {memory.end:#x}"
    return element("svg", element("title", label), pieces, viewBox=f"0 0 {_WIDTH} {_BAR}", role="img")


#: A thread of a picture: its key, the lines in its box, and whether it is one that crashed or is part of a deadlock.
Node: TypeAlias = "Tuple[str, Tuple[str, str], bool]"


def wait_picture(nodes: Sequence[Node], edges: Sequence[Tuple[str, str, str]]) -> Markup:
    """Threads as boxes, one below the other, and an arrow from each that waits to the owner of what it waits for.

    `edges` are (waiting, owner, what is waited for), by the nodes' keys.
    """
    rows: Dict[str, int] = {key: index for index, (key, _, _) in enumerate(nodes)}
    step = _BOX_HEIGHT + _GAP
    shapes: List[Markup] = []
    for key, lines, is_hot in nodes:
        y = rows[key] * step + 8
        shapes.append(
            element(
                "rect",
                class_="box hot" if is_hot else "box",
                x="8",
                y=str(y),
                width=str(_BOX_WIDTH),
                height=str(_BOX_HEIGHT),
                rx="6",
            )
        )
        shapes += [element("text", line, x="18", y=str(y + 18 + 17 * at)) for at, line in enumerate(lines)]
    for at, (waiting, owner, label) in enumerate(edges):
        if waiting in rows and owner in rows:
            shapes += _arrow(rows[waiting] * step + 31, rows[owner] * step + 31, at, label)
    height = len(nodes) * step + 8
    title = element("title", "threads, and what they wait for")
    return element("svg", title, shapes, viewBox=f"0 0 {_WIDTH} {height}", role="img")


def _arrow(start: int, end: int, number: int, label: str) -> List[Markup]:
    """An arrow from one box's right side to another's, each further to the right than the one before."""
    left, right = _BOX_WIDTH + 8, _BOX_WIDTH + 48 + 26 * (number % 12)
    head = f"M{left + 9} {end - 5}L{left} {end}L{left + 9} {end + 5}"
    path = f"M{left} {start}H{right}V{end}H{left}{head}"
    return [
        element("path", class_="arrow", d=path),
        element("text", label, x=str(right + 6), y=str((start + end) // 2 + 4)),
    ]
