"""`k` and its kin: the stack of the current context."""

from __future__ import annotations

from typing import Iterator, List, Optional, Tuple, Union

from dumpkit.errors import CommandError
from dumpkit.kernel.stack import MOST_FRAMES, walk_stack
from dumpkit.kernel.x64_walk import CODE, FRAME_POINTER, SCAN
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

#: How a frame's line shows that its unwind data was not there.
_MARKS = {CODE: "(code)", SCAN: "(scan)", FRAME_POINTER: "(frame pointer)"}

_LEGEND = {
    CODE: "(code): no image for unwinding; the function's code was followed to its return",
    SCAN: "(scan): no image for unwinding; a word of the stack that may be a return address",
    FRAME_POINTER: "(frame pointer): no image for unwinding; found by the chain of frame records",
}


class StackFrame(Record):
    """A line of `k`; addresses are virtual."""

    number: int
    child_sp: Hex
    return_address: Hex
    instruction: Hex
    #: `nt!KeBugCheckEx+0x12`, or the bare address outside every module.
    call_site: str
    module: Optional[str]
    #: `file @ line`, where symbols give it.
    source: Optional[str]
    arguments: Optional[Tuple[Hex, ...]]
    #: "context", "unwound", "code", "frame pointer" or "scan".
    found_by: str


class StackTrace(Record):
    """The frames of a context, innermost first."""

    processor: int
    frames: Tuple[StackFrame, ...]
    #: Whether `frames` ends because as many as were asked for are shown.
    cut: bool
    _options: str = ""


class _Options:
    """Letters behind the k, then a number of frames."""

    letters = "bcnpPvfL"

    def __init__(self, session: Session, text: str) -> None:
        self.letters_given = ""
        while text and text[0] in self.letters:
            self.letters_given += text[0]
            text = text[1:]
        text = text.strip()
        self.count = MOST_FRAMES
        if text:
            self.count, rest = session.evaluate_prefix(text)
            if rest.strip() or not self.count > 0:
                raise CommandError(f"k: '{text}' is no number of frames", "k[bcnpPvfL] [COUNT]")


def _heading(options: str) -> str:
    number = " # " if "n" in options else ""
    if "c" in options:
        return f"{number}Call Site"
    memory = "  Memory  " if "f" in options else ""
    stack = "" if "b" in options else "Child-SP          "
    if "b" in options or "v" in options:
        arguments = "Args to Child"
        return f"{number}{memory}{stack}RetAddr               : {arguments:<71} : Call Site"
    return f"{number}{memory}{stack}RetAddr               Call Site"


def _arguments(frame: StackFrame) -> str:
    if frame.arguments is None:
        return " ".join(["????????`????????"] * 4)
    return " ".join(quoted(argument) for argument in frame.arguments)


def _frame_line(frame: StackFrame, previous: Optional[StackFrame], options: str) -> Line:
    pieces: List[Union[str, Span]] = [f"{frame.number:02x} "] if "n" in options else []
    # kc names functions only, without the distance into them.
    name = frame.call_site.rpartition("+0x")[0] or frame.call_site if "c" in options else frame.call_site
    site = Span(name, "symbol", f"u {frame.instruction:x}")
    if "c" in options:
        return (*pieces, site)
    if "f" in options:
        size = f"{frame.child_sp - previous.child_sp:9x}" if previous is not None else " " * 9
        pieces.append(f"{size} ")
    if "b" not in options:
        pieces += [Span(quoted(frame.child_sp), "address"), " "]
    pieces += [Span(quoted(frame.return_address), "address"), "     "]
    if "b" in options or "v" in options:
        pieces.append(f": {_arguments(frame)} : ")
    pieces.append(site)
    if frame.source is not None and "L" not in options:
        pieces.append(f" [{frame.source}] ")
    if frame.found_by in _MARKS:
        pieces += ["  ", Span(_MARKS[frame.found_by], "dim")]
    return tuple(pieces)


def stack_lines(result: StackTrace) -> Iterator[Line]:
    yield (Span(_heading(result._options), "heading"),)
    previous: Optional[StackFrame] = None
    for frame in result.frames:
        yield _frame_line(frame, previous, result._options)
        previous = frame
    for way, meaning in _LEGEND.items():
        if "c" not in result._options and any(frame.found_by == way for frame in result.frames):
            yield (Span(meaning, "dim"),)


@command(
    "k",
    category="Stack",
    summary="The stack of the current context",
    arguments=(Text("query", "letters as below, then how many frames to show"),),
    render=stack_lines,
    glued=True,
)
def k(session: Session, query: str = "") -> StackTrace:
    """Shows the stack of the current processor (see ~Ns).

    n  frame numbers        b  arguments instead of Child-SP   v  arguments and Child-SP
    f  size of each frame   c  call sites only                 L  no source lines
    p  P  as k: parameters are not decoded

    The letters may stand together: knL, kb 5. Where the images that unwinding needs are missing, each
    frame says how it was found: (code) its function was followed to its return, (scan) it is a word of
    the stack that may be a return address, nothing speaking against it. Leftovers of earlier calls can
    be among the scanned ones.
    """
    options = _Options(session, query)
    target = session.dump
    walked = walk_stack(target, session.context, options.count)
    frames: List[StackFrame] = []
    for number, frame in enumerate(walked):
        place = target.symbols.nearest(frame.instruction_pointer)
        line = target.symbols.source_line(frame.instruction_pointer)
        frames.append(
            StackFrame(
                number,
                Hex(frame.stack_pointer),
                Hex(frame.return_address),
                Hex(frame.instruction_pointer),
                str(place) if place is not None else f"0x{quoted(frame.instruction_pointer)}",
                place.module.name if place is not None else None,
                f"{line.file} @ {line.line}" if line is not None else None,
                tuple(Hex(word) for word in frame.arguments) if frame.arguments is not None else None,
                frame.found_by,
            )
        )
    return StackTrace(session.processor, tuple(frames), len(walked) == options.count, options.letters_given)
