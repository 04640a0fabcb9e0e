"""What a process was started as: its command line, the service in it, and the user it runs as.

The command line is in user mode, which kernel dumps do not hold; the user is in the process's token. Members are
asked of the kernel's symbols; SID and SID_AND_ATTRIBUTES are in winnt.h.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.kernel.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

#: A SID has no more parts (SID_MAX_SUB_AUTHORITIES, winnt.h).
_MOST_PARTS = 15
#: The accounts of the system itself (winnt.h: SECURITY_LOCAL_SYSTEM_RID and its neighbours).
_KNOWN_SIDS = {
    "S-1-5-18": "NT AUTHORITY\\SYSTEM",
    "S-1-5-19": "NT AUTHORITY\\LOCAL SERVICE",
    "S-1-5-20": "NT AUTHORITY\\NETWORK SERVICE",
}


def command_line(process: Process) -> str:
    """The command line of a process. Raises DumpkitError with the reason where there is none to be read."""
    peb = process.peb
    if not peb:
        raise DumpkitError("the process has no PEB")
    parameters = process.target.type("_PEB").over(process.memory).at(peb).ProcessParameters
    if not parameters:
        raise DumpkitError("the process has no parameters yet")
    text: str = parameters.CommandLine.text()
    return text


def service_name(line: str) -> Optional[str]:
    """The service that a command line of svchost names, or its group of services; None of other programs."""
    words = line.split()
    if not words or not words[0].strip('"').lower().replace("/", "\\").rpartition("\\")[2].startswith("svchost"):
        return None
    for flag in ("-s", "-k"):
        if flag in words[:-1]:
            return words[words.index(flag) + 1]
    return None


def user_name(process: Process) -> str:
    """AUTHORITY\\ACCOUNT of a process, or its SID where no name of it is there. Raises DumpkitError."""
    record = process.record
    value = record.get("Token.Object")
    if value is None:
        value = record.member("Token.Value")
    # The low bits of a fast reference count the references that are left in it.
    place = int(value) & ~0xF
    if not place:
        raise DumpkitError("the process has no token")
    token = process.target.type("_TOKEN").at(place)
    try:
        session = token.LogonSession
        if session:
            authority, account = session.AuthorityName.text(), session.AccountName.text()
            if account:
                return f"{authority}\\{account}" if authority else account
    except (SymbolError, MemoryReadError):
        # The SID says the same, in numbers.
        pass
    sid = _sid(process, int(token.UserAndGroups))
    return _KNOWN_SIDS.get(sid, sid)


def _sid(process: Process, groups: int) -> str:
    """The SID of the first of a token's SID_AND_ATTRIBUTES: `S-1-5-18`."""
    memory = process.target.memory
    if not groups:
        raise DumpkitError("the token has no user")
    place = memory.u64(groups)
    head = memory.read(place, 8)
    revision, count = head[0], head[1]
    if revision != 1 or not 0 < count <= _MOST_PARTS:
        raise DumpkitError(f"no SID is at {place:016x}")
    parts = memory.read(place + 8, 4 * count)
    numbers = [int.from_bytes(parts[index : index + 4], "little") for index in range(0, len(parts), 4)]
    return "-".join(["S-1", str(int.from_bytes(head[2:8], "big")), *map(str, numbers)])
