"""`.writemem`: memory of the target, written to a file."""

from __future__ import annotations

from pathlib import Path

from dumpkit.arguments import take_word
from dumpkit.errors import CommandError, ExpressionError
from dumpkit.expression import read_range
from dumpkit.output import Hex
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional

#: Bytes written at a time, a dot of the engine's text each.
_PIECE = 0x800
#: Bytes where no length is given.
_DEFAULT = 0x10000


class WrittenMemory(Record):
    """What was written: bytes asked for, bytes written, and the virtual address that could not be read."""

    file: str
    size: int
    written: int
    missing: Optional[Hex]
    reason: Optional[str] = None


def written_lines(result: WrittenMemory) -> Iterator[str]:
    yield f"Writing {result.size:x} bytes{'.' * -(-result.written // _PIECE)}"
    if result.missing is not None:
        place = f"{result.missing >> 32:08x}`{result.missing & 0xFFFFFFFF:08x}"
        yield f"Unable to read memory at {place}, file is incomplete: {result.reason}"


@command(
    ".writemem",
    category="Memory",
    summary="Writes memory to a file",
    arguments=(Text("request", "FILE RANGE", holds="file"),),
    render=written_lines,
    raw=True,
)
def writemem(session: Session, request: str = "") -> WrittenMemory:
    """Writes memory of the target to a new file: .writemem FILE ADDRESS L COUNT, or FILE ADDRESS END.

    A file that is there is never written over. Where the dump does not hold all of the range, the file ends before
    the first byte that is missing.
    """
    session.refuse_if_confined("write a file")
    path, rest = take_word(request)
    if not path:
        raise ExpressionError("Non-empty string required", len(request), request, caret=True)
    offset = len(request) - len(rest)
    wanted = read_range(request, session.scope, _DEFAULT, position=offset)
    memory = session.dump.memory
    written = 0
    missing: Optional[int] = None
    try:
        with Path(path).expanduser().open("xb") as file:
            while written < wanted.count:
                size = min(_PIECE, wanted.count - written)
                data = memory.read_prefix(wanted.start + written, size)
                file.write(data)
                written += len(data)
                if len(data) < size:
                    missing = wanted.start + written
                    break
    except FileExistsError as error:
        raise CommandError(f".writemem: {path} is there already, and is not written over") from error
    except OSError as error:
        raise CommandError(f"Unable to create file {path}: {error.strerror or error}") from error
    session.refuse_surplus(wanted.text or request, wanted.end)
    if missing is None:
        return WrittenMemory(path, wanted.count, written, None)
    return WrittenMemory(path, wanted.count, written, Hex(missing), memory.explain(missing))
