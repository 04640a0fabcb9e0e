"""Security identifiers: a SID as text, and the names of those that are the same on every machine.

SID and SID_AND_ATTRIBUTES are in winnt.h, the well-known SIDs there and in Microsoft's "Well-known SIDs".
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.memory import AddressSpace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional

#: A SID has no more parts (SID_MAX_SUB_AUTHORITIES, winnt.h).
MOST_PARTS = 15
_HEAD_SIZE = 8

_WELL_KNOWN: Dict[str, str] = {
    "S-1-0-0": "NULL SID",
    "S-1-1-0": "Everyone",
    "S-1-2-0": "LOCAL",
    "S-1-2-1": "CONSOLE LOGON",
    "S-1-3-0": "CREATOR OWNER",
    "S-1-5-1": "NT AUTHORITY\\DIALUP",
    "S-1-5-2": "NT AUTHORITY\\NETWORK",
    "S-1-5-3": "NT AUTHORITY\\BATCH",
    "S-1-5-4": "NT AUTHORITY\\INTERACTIVE",
    "S-1-5-6": "NT AUTHORITY\\SERVICE",
    "S-1-5-7": "NT AUTHORITY\\ANONYMOUS LOGON",
    "S-1-5-11": "NT AUTHORITY\\Authenticated Users",
    "S-1-5-13": "NT AUTHORITY\\TERMINAL SERVER USER",
    "S-1-5-14": "NT AUTHORITY\\REMOTE INTERACTIVE LOGON",
    "S-1-5-15": "NT AUTHORITY\\This Organization",
    "S-1-5-18": "NT AUTHORITY\\SYSTEM",
    "S-1-5-19": "NT AUTHORITY\\LOCAL SERVICE",
    "S-1-5-20": "NT AUTHORITY\\NETWORK SERVICE",
    "S-1-5-113": "NT AUTHORITY\\Local account",
    "S-1-5-114": "NT AUTHORITY\\Local account and member of Administrators group",
    "S-1-5-32-544": "BUILTIN\\Administrators",
    "S-1-5-32-545": "BUILTIN\\Users",
    "S-1-5-32-546": "BUILTIN\\Guests",
    "S-1-5-32-559": "BUILTIN\\Performance Log Users",
    "S-1-15-2-1": "APPLICATION PACKAGE AUTHORITY\\ALL APPLICATION PACKAGES",
    "S-1-16-0": "Mandatory Label\\Untrusted Mandatory Level",
    "S-1-16-4096": "Mandatory Label\\Low Mandatory Level",
    "S-1-16-8192": "Mandatory Label\\Medium Mandatory Level",
    "S-1-16-8448": "Mandatory Label\\Medium Plus Mandatory Level",
    "S-1-16-12288": "Mandatory Label\\High Mandatory Level",
    "S-1-16-16384": "Mandatory Label\\System Mandatory Level",
}


def sid_text(memory: AddressSpace, place: int) -> str:
    """The SID at a virtual address as text: `S-1-5-18`. Raises MemoryReadError, DumpkitError where there is none."""
    head = memory.read(place, _HEAD_SIZE)
    revision, count = head[0], head[1]
    if revision != 1 or not 0 < count <= MOST_PARTS:
        raise DumpkitError(f"no SID is at {place:016x}")
    parts = memory.read(place + _HEAD_SIZE, 4 * count)
    numbers = [int.from_bytes(parts[index : index + 4], "little") for index in range(0, len(parts), 4)]
    return "-".join(["S-1", str(int.from_bytes(head[2:8], "big")), *map(str, numbers)])


def sid_name(sid: str) -> Optional[str]:
    """The name of a SID that is the same on every machine, or None."""
    return _WELL_KNOWN.get(sid)
