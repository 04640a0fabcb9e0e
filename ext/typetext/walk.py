"""Ways through types and their values: to the end of a pointer, into an array, along a list."""

from __future__ import annotations

import re

from dumpkit.memory import U64_MASK
from dumpkit.symbols.types import ArrayType, PointerType, RecordType, Type
from dumpkit.typetext.request import Step
from dumpkit.typetext.values import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Sequence, Tuple


def element_of(type: Type) -> Type:
    """What an array of whatever dimensions is made of; any other type itself."""
    while isinstance(type, ArrayType):
        type = type.element
    return type


def record_of(type: Type) -> Type:
    """What is at the end of pointers and arrays."""
    while isinstance(type, (ArrayType, PointerType)):
        type = type.element if isinstance(type, ArrayType) else type.target
    return type


def pointed(value: Value) -> Optional[Value]:
    """The value at the end of a chain of pointers, the value itself where it is none; None at a null or hole."""
    current: Optional[Value] = value
    while current is not None and isinstance(current.type, PointerType):
        with_address = current.address is not None
        current = current.target
        if with_address and current is not None and current.address is None:
            return None
    if current is not None and isinstance(current.type, ArrayType):
        return current.element(0)
    return current


def indexed(value: Value, indexes: Sequence[int]) -> Tuple[Value, str]:
    """The element that indexes lead to, and "[1] [2] " for it."""
    head = ""
    for index in indexes:
        if isinstance(value.type, ArrayType):
            value = value.element(index)
            head += f"[{index}] "
    return value, head


def matches(step: Step, name: str, partial: bool) -> bool:
    """Whether a step of a path names a member, in any case; one that is `partial` names all that begin so."""
    wanted = step.name.lower()
    if partial:
        return name.lower().startswith(wanted)
    if "*" in wanted or "?" in wanted:
        pattern = re.escape(wanted).replace(r"\*", ".*").replace(r"\?", ".")
        return re.fullmatch(pattern, name, re.IGNORECASE) is not None
    return name.lower() == wanted


def following(value: Value, path: str) -> Optional[Value]:
    """The next element of a list: where the field `path` of this one leads."""
    found = value.type.path(path.replace("->", ".")) if isinstance(value.type, RecordType) else None
    if found is None or value.address is None or not isinstance(found[1], PointerType):
        return None
    number = Value(value.reader, found[1], value.address + found[0]).number
    if not number:
        return None
    outer, dot, _ = path.rpartition(".")
    back = 0
    if dot and isinstance(value.type, RecordType):
        # A link points to the next link, not to the record that holds it.
        link = value.type.path(outer)
        target = found[1].target
        if link is not None and target.name == link[1].name:
            back = link[0]
    return Value(value.reader, value.type, (int(number) - back) & U64_MASK)
