"""`k` and its kin: the stack of the current context."""

from __future__ import annotations

from dumpkit.errors import CommandError, DumpkitError
from dumpkit.kernel.named_frame import NamedFrame, named_frames
from dumpkit.kernel.stack import MOST_FRAMES, Frame, walk_stack
from dumpkit.kernel.x64_walk import CODE, FRAME_POINTER, SCAN
from dumpkit.numbers import quoted
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registers import X64, Context
from dumpkit.registry import Text, command
from dumpkit.session import Session
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Tuple, Union

#: How a frame's line shows that its unwind data was not there.
_MARKS = {CODE: "(code)", SCAN: "(scan)", FRAME_POINTER: "(frame pointer)"}

_LEGEND = {
    CODE: "(code): no image for unwinding; the function's code was followed to its return",
    SCAN: "(scan): no image for unwinding; a word of the stack that may be a return address",
    FRAME_POINTER: "(frame pointer): no image for unwinding; found by the chain of frame records",
}

#: Stands in a line where kP begins a new one.
_PARAMETER_LINE = "\n"

BANNER = "  *** Stack trace for last set context - .thread/.cxr resets it"
#: What `frame_line` takes beside k's letters: the form of the stack in analyze's output, Child-SP and arguments.
STACK_TEXT = "a"
_NO_ADDRESS = "--------`--------"
_USAGE = "k[bcfLMnpPv] [COUNT] | k = SP [IP] [COUNT]"

#: User mode ends here in every 64-bit Windows.
USER_END = 1 << 47

#: The debugger refuses more frames than this.
_MOST_ASKED = 0xFFFF


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
    #: Whether the function was inlined: the frame is then that of the next one that was not.
    is_inline: bool = False
    #: The trap frame that a handler of the kernel saved there.
    trap_frame: Optional[Hex] = None
    #: `void * Context = 0xffffb507`729e3040` for each parameter, where kp or kP asked and private symbols tell.
    parameters: Optional[Tuple[str, ...]] = None


class StackTrace(Record):
    """The frames of a context, innermost first."""

    processor: int
    frames: Tuple[StackFrame, ...]
    #: Whether `frames` ends because as many as were asked for are shown.
    cut: bool
    #: Whether the context is not the processor's but one that was set, and all of its stack is shown.
    is_set_context: bool
    _options: str = ""


def session_frames(
    session: Session, context: Context, limit: int, lines: bool = True
) -> Iterator[Tuple[Frame, List[StackFrame]]]:
    """The frames of a context of the current thread, each as `frames_with_inlined` gives it, on into user mode."""
    target = session.dump
    number = session.base_frame
    walked = walk_stack(target, context, limit)
    sided: Sequence[Tuple[Frame, Target]] = [(frame, target) for frame in walked]
    if walked[-1].instruction_pointer < USER_END:
        sided = _with_user_mode(session, context, limit) or sided
    for frame, side in sided:
        for _, rows in frames_with_inlined(side, [frame], number, lines):
            number += len(rows)
            yield frame, rows


def _with_user_mode(session: Session, context: Context, limit: int) -> Sequence[Tuple[Frame, Target]]:
    """The stack of the current thread with its frames of user mode; nothing where the thread is not known."""
    from dumpkit.kernel.thread import Thread
    from dumpkit.kernel.whole_stack import whole_stack

    try:
        return whole_stack(Thread(session.dump, session.thread_address), context)[:limit]
    except DumpkitError:
        return ()


def frames_with_inlined(
    target: Target, walked: Sequence[Frame], first: int = 0, lines: bool = True
) -> Iterator[Tuple[Frame, List[StackFrame]]]:
    """Each frame with its lines of `k`: those of the functions that were inlined there, and behind them its own."""
    for frame in walked:
        rows = [_row(named, first + place) for place, named in enumerate(named_frames(target, [frame], lines))]
        first += len(rows)
        yield frame, rows


def _row(named: NamedFrame, number: int) -> StackFrame:
    """The line of a frame, or of a function that was inlined there: that has neither arguments nor a trap frame."""
    frame = named.frame
    arguments, trap_frame = (None, None) if named.is_inline else (frame.arguments, frame.trap_frame)
    return StackFrame(
        number=number,
        child_sp=Hex(frame.stack_pointer),
        return_address=Hex(frame.return_address),
        instruction=Hex(frame.instruction_pointer),
        call_site=named.symbol or _bare(frame.instruction_pointer),
        module=named.module,
        source=named.source,
        arguments=tuple(Hex(word) for word in arguments) if arguments is not None else None,
        found_by=frame.found_by,
        is_inline=named.is_inline,
        trap_frame=Hex(trap_frame) if trap_frame is not None else None,
    )


def _bare(address: int) -> str:
    """An address as the engine shows it outside every module: its zeros are left out where it has no upper half."""
    return f"0x{quoted(address)}" if address >> 32 else f"0x{address:x}"


class _Options:
    """What stands behind the k: letters, then a number of frames; or where to begin, and that number."""

    letters = "bcdfLMnpPv"

    def __init__(self, session: Session, text: str) -> None:
        self.given = ""
        self.count = MOST_FRAMES
        self.is_counted = False
        self._session = session
        self._text = text
        at = 0
        while at < len(text) and (text[at] in self.letters or text[at].isspace()):
            self.given += text[at].strip()
            at += 1
        if "d" in self.given:
            raise CommandError("kd is not there: dps @$csp shows the stack's words", _USAGE)
        if text.startswith("=", at):
            self.context = self._start(at + 1)
        else:
            self.context = session.context
            if text[at:].strip():
                self._take_count(*self._number(at))

    def _number(self, at: int) -> Tuple[int, int]:
        """The value of the expression at a place in the text, and where it ends."""
        value, rest = self._session.evaluate_prefix(self._text[at:])
        return value, len(self._text) - len(rest)

    def _start(self, at: int) -> Context:
        """The context that `= SP [IP] [COUNT]` describes: what else the current one has is not of that place."""
        numbers: List[int] = []
        if not self._text[at:].strip():
            raise CommandError("k = needs a stack pointer", _USAGE)
        while len(numbers) < 3 and self._text[at:].strip():
            value, at = self._number(at)
            numbers.append(value)
        stack, instruction = numbers[0], self._session.context.instruction_pointer
        if len(numbers) == 3 or (len(numbers) == 2 and numbers[1] > _MOST_ASKED):
            instruction = numbers[1]
            del numbers[1]
        if len(numbers) == 2:
            self._take_count(numbers[1], at)
        architecture = self._session.dump.architecture
        names = ("rip", "rsp") if architecture is X64 else ("pc", "sp")
        current = self._session.context
        kept = {} if architecture is X64 else {name: current.values[name] for name in ("fp",) if name in current.values}
        return Context(architecture, {**kept, names[0]: instruction, names[1]: stack})

    def _take_count(self, count: int, end: int) -> None:
        if count > _MOST_ASKED:
            raise CommandError(
                f"Requested number of stack frames (0x{count:x}) is too large! The maximum number is 0xffff.", _USAGE
            )

        self._session.refuse_surplus(self._text, end)
        self.is_counted = True
        # The debugger takes 0 for all.
        self.count = count or MOST_FRAMES


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
    if frame.is_inline:
        return " ".join([_NO_ADDRESS] * 4)
    if frame.arguments is None:
        return " ".join(["????????`????????"] * 4)
    return " ".join(quoted(argument) for argument in frame.arguments)


def _addresses(frame: StackFrame, options: str) -> Iterator[Union[str, Span]]:
    """The columns before the call site."""
    if frame.is_inline:
        yield "(Inline Function)" if "b" in options else f"(Inline Function) {_NO_ADDRESS}"
    else:
        if "b" not in options:
            yield Span(quoted(frame.child_sp), "address", f"dps {frame.child_sp:x}")
            yield " "
        yield Span(quoted(frame.return_address), "address")
    yield "     "
    if any(letter in options for letter in ("b", "v", STACK_TEXT)):
        yield f": {_arguments(frame)} : "


def frame_line(frame: StackFrame, previous: Optional[StackFrame], options: str) -> Line:
    """A frame as `k` with those letters shows it, or STACK_TEXT's; `previous` is the one inside of it."""
    pieces: List[Union[str, Span]] = [Span(f"{frame.number:02x}", None, f".frame /r {frame.number}"), " "]
    if "n" not in options and "M" not in options:
        pieces = []
    # kc names functions only, without the distance into them.
    name = frame.call_site.rpartition("+0x")[0] or frame.call_site if "c" in options else frame.call_site
    site = Span(name, "symbol", f"u {frame.instruction:x}")
    if "c" in options:
        return (*pieces, site)
    if "f" in options:
        size = f"{frame.child_sp - previous.child_sp:9x}" if previous is not None else " " * 9
        pieces.append(f"{size} ")
    pieces += _addresses(frame, options)
    if frame.parameters is not None:
        function, plus, distance = name.rpartition("+0x")
        pieces += [Span(function or name, "symbol", f"u {frame.instruction:x}"), "("]
        # kP has a line for each.
        pieces.append(_PARAMETER_LINE + f", {_PARAMETER_LINE}".join(frame.parameters))
        pieces.append(f"){plus}{distance}" if function else ")")
    else:
        pieces.append(site)
    if frame.is_inline and "v" in options:
        pieces.append(f" (Inline Function @ {quoted(frame.instruction)})")
    if frame.trap_frame is not None and "v" in options:
        trap = Span(quoted(frame.trap_frame), "address", f".trap {frame.trap_frame:x}")
        pieces += [" (TrapFrame @ ", trap, ")"]
    if frame.source is not None and "L" not in options:
        pieces.append(f" [{frame.source}] ")
    if frame.found_by in _MARKS and not frame.is_inline:
        pieces += ["  ", Span(_MARKS[frame.found_by], "dim")]
    return tuple(pieces)


def _parameter_lines(line: Line, apart: bool) -> Iterator[Line]:
    """A frame's line with its parameters in it, or on lines of their own."""
    current: List[Union[str, Span]] = []
    for piece in (line,) if isinstance(line, str) else line:
        if not isinstance(piece, str) or _PARAMETER_LINE not in piece:
            current.append(piece)
            continue
        if not apart:
            current.append(piece.replace(_PARAMETER_LINE, ""))
            continue
        first, *others = piece.split(_PARAMETER_LINE)
        current.append(first)
        for text in others:
            yield tuple(current)
            current = [f"\t\t\t{text}"]
    yield tuple(current)


def stack_lines(result: StackTrace) -> Iterator[Line]:
    options = result._options.replace("M", "n")
    if result.is_set_context:
        yield BANNER
    yield (Span(_heading(options), "heading"),)
    previous: Optional[StackFrame] = None
    for frame in result.frames:
        yield from _parameter_lines(frame_line(frame, previous, options), "P" in options)
        previous = frame
    if "c" not in options:
        yield from legend_lines(result.frames)


def legend_lines(frames: Sequence[StackFrame]) -> Iterator[Line]:
    """What the marks behind frames mean, as far as they stand there."""
    for way, meaning in _LEGEND.items():
        if any(frame.found_by == way for frame in frames):
            yield (Span(meaning, "dim"),)


def _with_parameters(target: Target, frame: Frame, rows: List[StackFrame]) -> List[StackFrame]:
    """The lines of a frame with the parameters of its function; those of inlined functions are not known."""
    from dumpkit.commands.frame_variables import parameter_texts

    texts = parameter_texts(target, frame.context)
    if texts is None:
        return rows
    last = rows[-1]
    values = {name: getattr(last, name) for name in last._fields}
    return [*rows[:-1], StackFrame(**{**values, "parameters": tuple(texts) or ("void",)})]


@command(
    "k",
    category="Stack",
    summary="The stack of the current context",
    arguments=(Text("query", "letters as below, then how many frames to show; or = SP [IP] [COUNT]"),),
    render=stack_lines,
    glued=True,
)
def k(session: Session, query: str = "") -> StackTrace:
    """Shows the stack of the current processor (see ~Ns), or of the context that .trap, .cxr or .thread made current.

    n  frame numbers        b  arguments instead of Child-SP   v  arguments and Child-SP
    f  size of each frame   c  call sites only                 L  no source lines
    p  parameters           P  each on a line of its own       M  as n

    Parameters are known where private symbols tell; where a register that holds one is not known, it has no value.
    The letters may stand together: knL, kb 5. k = SP IP COUNT shows the stack that begins at stack pointer SP with
    instruction pointer IP (the current one where it is left out). An inlined function has a line without addresses
    above the function that it was inlined into.

    Where the images that unwinding needs are missing, each frame says how it was found: (code) its function was
    followed to its return, (scan) it is a word of the stack that may be a return address, nothing speaking against
    it. Leftovers of earlier calls can be among the scanned ones.
    """
    options = _Options(session, query)
    wants_lines = session.lines and "L" not in options.given
    frames: List[StackFrame] = []
    wants_parameters = "p" in options.given or "P" in options.given
    for frame, rows in session_frames(session, options.context, options.count, wants_lines):
        frames += _with_parameters(session.dump, frame, rows) if wants_parameters else rows
        if len(frames) >= options.count:
            break
    del frames[options.count :]
    is_set = session.override is not None and options.context is session.override and not options.is_counted
    return StackTrace(session.processor, tuple(frames), len(frames) == options.count, is_set, options.given)
