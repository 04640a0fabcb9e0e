"""What `??` shows of pointers, records, arrays and enumerations."""

from __future__ import annotations

from dumpkit.expression.cpp_values import CppValue
from dumpkit.numbers import quoted
from dumpkit.session import Session
from dumpkit.symbol_text import c_name
from dumpkit.symbols.types import ArrayType, EnumType, PointerType, RecordType, Type
from dumpkit.typetext.dump import TypeDump
from dumpkit.typetext.request import TypeRequest
from dumpkit.typetext.scalar import enumerator_text
from dumpkit.typetext.values import Value, is_character, read_string, reader_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional


def type_words(type: Type) -> str:
    """A type in the words of C++, an enumeration by its name alone."""
    return type.name if isinstance(type, EnumType) else c_name(type)


def typed_text(session: Session, value: CppValue) -> Iterator[str]:
    """The line of a value that is no plain number, and what it leads to."""
    type, number = value.type, value.integer
    if isinstance(type, EnumType):
        name = type.name_of(number)
        yield f"{type.name} {name} (0n{number})" if name else f"{type.name} {enumerator_text(number, type.size)}"
    elif isinstance(type, PointerType):
        yield f"{c_name(type)} 0x{quoted(number)}"
        yield from _behind(session, type.target, number, None)
    elif isinstance(type, ArrayType):
        element: Type = type.element
        yield f"{c_name(element)} [{type.count}] 0x{quoted(number)}"
        yield from _behind(session, element, number, type.count)
    elif isinstance(type, RecordType):
        yield c_name(type)
        yield from _behind(session, type, number, None)


def _behind(session: Session, type: Type, address: int, count: Optional[int]) -> Iterator[str]:
    """The string or record at an address; nothing for anything else."""
    reader = reader_of(session.dump, None)
    if is_character(type):
        yield f' "{read_string(reader, address, type.size, count)}"'
    elif isinstance(type, RecordType) and address:
        # What cannot be read is question marks; the line of dt that names the first address is left out.
        lines = TypeDump(TypeRequest(type.name), Value(reader, type, address)).lines()
        yield from (line for line in lines if not line.startswith("Memory read error "))
