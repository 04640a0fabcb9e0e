"""`ds`, `dS`: the text of a counted string, STRING or UNICODE_STRING."""

from __future__ import annotations

from dumpkit.commands.display import text_row
from dumpkit.commands.display_formats import FORMATS, MemoryRows, Row, memory_lines
from dumpkit.errors import CommandError
from dumpkit.expression import read_range
from dumpkit.output import Hex
from dumpkit.registry import Text, command
from dumpkit.session import Session

#: Characters in a line, as da and du show them.
_LINE = 32


def _show(session: Session, name: str, text: str) -> MemoryRows:
    shape = FORMATS["da" if name == "ds" else "du"]
    start = session.positions.get("d") if not text else None
    wanted = read_range(text, session.scope, 1, 16, default_start=start)
    session.refuse_surplus(wanted.text or text, wanted.end)
    memory = session.dump.memory
    # STRING and UNICODE_STRING in ntdef.h: the length in bytes, the room, and behind padding the text's address.
    header = memory.read_optional(wanted.start, 16)
    if header is None:
        raise CommandError(f"{name}: no counted string at {wanted.start:016x}: {memory.explain(wanted.start)}")
    count = int.from_bytes(header[:2], "little") // shape.unit
    address = int.from_bytes(header[8:], "little")
    rows = [
        text_row(memory, address + at * shape.unit, min(_LINE, count - at), shape.unit) for at in range(0, count, _LINE)
    ]
    session.positions["d"] = wanted.start + 16
    return MemoryRows(name, tuple(rows) or (Row(Hex(address), (), ""),), (), shape, _LINE)


_HELP = """Shows the text of a counted string: {0} ADDRESS, where a {1} lies.

Its length says how much is shown, whatever is in it.
"""


def _register(name: str, type: str) -> None:
    def show(session: Session, address: str = "") -> MemoryRows:
        return _show(session, name, address)

    show.__doc__ = _HELP.format(name, type)
    command(
        name,
        category="Memory",
        summary=f"The text of a {type}",
        arguments=(Text("address", "ADDRESS"),),
        render=memory_lines,
    )(show)


_register("ds", "STRING")
_register("dS", "UNICODE_STRING")
