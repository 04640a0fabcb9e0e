"""Types as C++ expressions name them: `unsigned char*`, `nt!_KTHREAD*`, `struct _LIST_ENTRY`."""

from __future__ import annotations

import re

from dumpkit.errors import ExpressionError, SymbolError
from dumpkit.expression.cpp_values import BASE_KINDS, VOID, base_type
from dumpkit.expression.scope import Scope
from dumpkit.expression.tokens import skip_space
from dumpkit.symbols.types import PointerType, RecordType, Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

_QUALIFIERS = re.compile(r"(?:(?:const|volatile|struct|union|class|enum)\s+)*")
#: More words than a type's name has are none.
_WORDS = re.compile(
    r"(?:(?:unsigned|signed|long|short|char|int|float|double|bool|void|wchar_t|__int64|int64)\b\s*){1,4}"
)
_NAME = re.compile(r"(?:(\w+)!)?([A-Za-z_]\w*(?:::\w+)*)")
#: `*` of a type, at most.
_MOST_POINTERS = 16


def read_type(text: str, scope: Scope, position: int) -> Tuple[Optional[Type], int]:
    """The type at a place in a text, and the place behind it; None where what stands there is none."""
    match = _QUALIFIERS.match(text, skip_space(text, position))
    place = match.end() if match is not None else position
    words = _WORDS.match(text, place)
    type: Optional[Type] = None
    if words is not None:
        name = " ".join(words.group().split())
        kind = BASE_KINDS.get(name) or BASE_KINDS.get(name.replace(" int", "") if name != "int" else name)
        type = VOID if name == "void" else base_type(kind) if kind is not None else None
        end = words.end()
    else:
        found = _NAME.match(text, place)
        if found is None:
            return None, position
        try:
            type = scope.type(found.group(2), found.group(1))
        except SymbolError:
            return None, position
        end = found.end()
    if type is None:
        return None, position
    for _ in range(_MOST_POINTERS):
        star = skip_space(text, end)
        if text[star : star + 1] != "*":
            break
        type, end = _pointer(type), star + 1
    return type, end


def _pointer(type: Type) -> PointerType:
    return PointerType(lambda: type)


def read_path(text: str, type: Type, position: int) -> Tuple[int, int]:
    """The offset of the member at a path such as `Header.Type`, and the place behind it. Raises ExpressionError."""
    offset = 0
    while True:
        match = _NAME.match(text, position)
        found = type.find(match.group()) if match is not None and isinstance(type, RecordType) else None
        if match is None or found is None:
            raise ExpressionError("Type does not have given member error at", position, text)
        offset, type, position = offset + found[0], found[1], match.end()
        if text[position : position + 1] != ".":
            return offset, position
        position += 1
