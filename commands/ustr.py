"""`ustr`: a UNICODE_STRING; Format: the !ustr page in Microsoft's debugger documentation, and public transcripts."""

from __future__ import annotations

from dumpkit.errors import CommandError, MemoryReadError
from dumpkit.output import Hex, Line
from dumpkit.record import Record
from dumpkit.registry import Expression, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional


class CountedString(Record):
    """A UNICODE_STRING (ntdef.h). Lengths in bytes; `text` is None where its buffer cannot be read."""

    address: Hex
    length: int
    maximum_length: int
    buffer: Hex
    text: Optional[str]
    problem: Optional[str]


def counted_string_lines(result: CountedString) -> Iterator[Line]:
    yield (
        f"String({result.length},{result.maximum_length}) at {result.address:016x}: "
        f"{result.text if result.text is not None else result.problem}"
    )


@command(
    "ustr",
    category="Kernel",
    summary="A UNICODE_STRING: its lengths and its text",
    arguments=(Expression("address", "the virtual address of a UNICODE_STRING", True),),
    render=counted_string_lines,
)
def ustr(session: Session, address: int) -> CountedString:
    """Shows a counted string: the bytes that it has, the bytes that it has room for, its text.

    One whose length is more than its room, or is no whole number of characters, is refused: no string is there.
    """
    memory = session.dump.memory
    # UNICODE_STRING of a 64-bit Windows (ntdef.h): two lengths, and behind four bytes of padding the pointer.
    head = memory.read(address, 16)
    length, room = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
    buffer = int.from_bytes(head[8:], "little")
    if length > room or length & 1 or (length and not buffer):
        raise CommandError(
            f"{address:016x} is no UNICODE_STRING: length {length}, maximum length {room}, buffer {buffer:016x}"
        )
    text: Optional[str] = None
    problem = None
    try:
        text = memory.read(buffer, length).decode("utf-16-le", "replace") if length else ""
    except MemoryReadError as error:
        problem = f"its text at {buffer:016x} is not in the dump: {error.reason}"
    return CountedString(Hex(address), length, room, Hex(buffer), text, problem)
