"""`.frame`: one frame of the stack, and its registers."""

from __future__ import annotations

from dumpkit.commands.contexts import RegisterBlock, register_block, register_block_lines
from dumpkit.commands.stack import StackFrame, frame_line, session_frames
from dumpkit.errors import CommandError
from dumpkit.kernel.stack import MOST_FRAMES, Frame
from dumpkit.output import Line
from dumpkit.record import Record
from dumpkit.registry import Switch, Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple


class ChosenFrame(Record):
    """A frame of the stack, and its registers where they were asked for."""

    frame: StackFrame
    registers: Optional[RegisterBlock]
    #: What has to be said of the choice.
    note: Optional[str] = None


def _chosen_lines(result: ChosenFrame) -> Iterator[Line]:
    if result.note is not None:
        yield result.note
    yield frame_line(result.frame, None, "n")
    if result.registers is not None:
        yield from register_block_lines(result.registers)


def _find(session: Session, number: int) -> Tuple[Frame, List[StackFrame]]:
    """The frame that has a number, and the lines of the functions that stand there. Raises CommandError."""
    most = number - session.base_frame + 1
    if most <= MOST_FRAMES:
        for frame, rows in session_frames(session, session.context, most, session.lines):
            if number <= rows[-1].number:
                return frame, rows
    raise CommandError(f"Cannot find frame 0x{number:x}, previous scope unchanged")


def chosen_frame(session: Session) -> Frame:
    """The frame that `.frame` chose; the innermost one at first. Raises CommandError where it is not there."""
    return _find(session, session.frame)[0]


@command(
    ".frame",
    category="Stack",
    summary="A frame of the stack, and its registers",
    arguments=(
        Switch("registers", ("/r",), "its registers too"),
        Switch("current", ("/c",), "its registers, which become current: r, k and u go by them"),
        Text("number", "its number, as kn shows it: a MASM expression"),
    ),
    render=_chosen_lines,
)
def frame(session: Session, registers: bool = False, current: bool = False, number: str = "") -> ChosenFrame:
    """Shows a frame of the current stack; without a number, the one chosen last.

    The registers that a call must leave alone are unwound. Those that a call may change are known of the innermost
    frame and of what a trap broke into only: of other frames, as in the debugger, those of the frame inside stand
    there. .cxr alone goes back behind .frame /c.
    """
    wanted = session.frame
    if number:
        wanted, rest = session.evaluate_prefix(number)
        session.refuse_surplus(number, len(number) - len(rest))
    base = session.base_frame
    if wanted < base:
        raise CommandError(f"Frame 0x{wanted:x} is before current base frame 0x{base:x}")
    walked, rows = _find(session, wanted)
    chosen = next(row for row in rows if row.number == wanted)
    session.frame = wanted
    if not registers and not current:
        return ChosenFrame(chosen, None)
    note = None
    if current:
        if chosen is not rows[0]:
            note = (
                f"Reset base frame from {wanted:x} to {rows[0].number:x},"
                " which points to the inner-most inline function frame."
            )
            chosen = rows[0]
        session.set_context(walked.context, chosen.number)
    location = chosen.call_site if chosen.module is not None else None
    if chosen.is_inline:
        location = f"{chosen.call_site} [inlined in {rows[-1].call_site}]"
    return ChosenFrame(chosen, register_block(session.dump, walked.context, location=location), note)
