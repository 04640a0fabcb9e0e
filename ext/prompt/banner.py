"""What a session opens with: the dump, its damage, and what its crash was."""

from __future__ import annotations

from dumpkit import __version__
from dumpkit.errors import DumpkitError
from dumpkit.output import Line, Span
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator, Tuple


#: States of a module whose symbols were looked for in vain.
_BARE = ("no symbols", "export symbols")


def banner_lines(session: Session) -> Iterator[Line]:
    """The lines above the first prompt; what the dump lacks costs its own lines only."""
    yield (Span(f"dumpkit {__version__}", "heading"), ": help lists the commands, q ends")
    target = session.target
    if target is None:
        return
    yield f"Dump file {target.name}" + (f": {target.kind}" if target.kind else "")
    for note in target.notes:
        yield (Span(f"Note: {note}", "warning"),)
    yield ""
    for part in (_system, _bugcheck, _place, _symbols):
        yield from _or_why_not(part, session)


def _or_why_not(part: Callable[[Session], Tuple[Line, ...]], session: Session) -> Tuple[Line, ...]:
    try:
        return part(session)
    except DumpkitError as error:
        return ((Span(str(error), "error"),),)


def _system(session: Session) -> Tuple[Line, ...]:
    from dumpkit.commands.vertarget import version_lines, vertarget

    return tuple(version_lines(vertarget(session)))


def _bugcheck(session: Session) -> Tuple[Line, ...]:
    found = session.dump.bugcheck
    if found is None:
        return ()
    arguments = ", ".join(f"{argument:x}" for argument in found.parameters)
    return ((Span(f"BugCheck {found.code:X}", "error"), f", {{{arguments}}}"),)


def _place(session: Session) -> Tuple[Line, ...]:
    """The instruction that the current processor stands at."""
    from dumpkit.code import current_line

    context = session.context
    target = session.dump
    place = target.symbols.nearest(context.instruction_pointer)
    instruction = current_line(target, context)
    return (instruction,) if place is None else ((Span(f"{place}:", "symbol"),), instruction)


def _symbols(session: Session) -> Tuple[Line, ...]:
    """What to do where the kernel has no symbols: behind `_place`, which has looked for them."""
    symbols = session.dump.symbols
    kernel = session.dump.module_named("nt")
    if kernel is None or symbols.state(kernel) not in _BARE:
        return ()
    advice = "-y PATH names places, .symfix and .reload ask Microsoft's server"
    return ((Span(f"nt has no symbols (lmv m nt says where was looked): {advice}", "dim"),),)
