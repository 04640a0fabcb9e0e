r"""The registry's description of a processor, HARDWARE\DESCRIPTION\System\CentralProcessor\0, as a dump keeps it."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Union

#: The tagged data of a dump that holds the key's values; found in dumps of Windows 8.1 to 11, x64 and ARM64.
PROCESSOR_KEY_TAG = "6c7ac389-4313-47dc-9f34-a8800a0fb56c"

_REG_SZ = 1
_REG_DWORD = 4
_NAME_SIZE = Struct("<I")
_TYPE_AND_SIZE = Struct("<II")


def registry_values(data: bytes) -> Dict[str, Union[str, int, bytes]]:
    """The values of a key: REG_SZ as str, REG_DWORD as int, others as bytes.

    Each value stands as the size of its name in bytes, the name (UTF-16, with a NUL), its registry type, the
    size of its data, the data: derived from dumps, no document describes it. A cut or damaged end is left out.
    """
    values: Dict[str, Union[str, int, bytes]] = {}
    offset = 0
    while offset + _NAME_SIZE.size <= len(data):
        name_size: int = _NAME_SIZE.unpack_from(data, offset)[0]
        name_at = offset + _NAME_SIZE.size
        head = name_at + name_size
        if not name_size or head + _TYPE_AND_SIZE.size > len(data):
            break
        kind, size = _TYPE_AND_SIZE.unpack_from(data, head)
        offset = head + _TYPE_AND_SIZE.size + size
        if offset > len(data):
            break
        values[_text(data[name_at:head])] = _value(kind, data[offset - size : offset])
    return values


def _value(kind: int, data: bytes) -> Union[str, int, bytes]:
    if kind == _REG_SZ:
        return _text(data)
    if kind == _REG_DWORD and len(data) == 4:
        return int.from_bytes(data, "little")
    return data


def _text(data: bytes) -> str:
    return data.decode("utf-16-le", "replace").split("\0", 1)[0]


def processor_name(data: bytes) -> Optional[str]:
    """ProcessorNameString ("11th Gen Intel(R) Core(TM) i7-1185G7 @ 3.00GHz"), or None where the key lacks it."""
    name = registry_values(data).get("ProcessorNameString")
    return name.strip() if isinstance(name, str) and name.strip() else None
