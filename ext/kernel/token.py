"""Access tokens: who a process or thread acts as, its groups and its privileges.

Members are asked of the kernel's _TOKEN; attributes of groups and the numbers of privileges are in winnt.h and wdm.h.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError, MemoryReadError, SymbolError
from dumpkit.kernel.process import Process
from dumpkit.kernel.security_identifier import sid_text
from dumpkit.kernel.thread import Thread
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, List, Optional, Tuple

#: No token has more groups: a larger number is damage.
MOST_GROUPS = 4096
_SID_AND_ATTRIBUTES_SIZE = 16

#: SE_GROUP_… of winnt.h, in the order in which the debugger names them.
_GROUP_ATTRIBUTES: Tuple[Tuple[int, str], ...] = (
    (0x1, "Mandatory"),
    (0x2, "Default"),
    (0x4, "Enabled"),
    (0x8, "Owner"),
    (0x10, "DenyOnly"),
    (0x20, "GroupIntegrity"),
    (0x40, "GroupIntegrityEnabled"),
    (0xC0000000, "LogonId"),
    (0x20000000, "GroupResource"),
)

_PRIVILEGES = (
    "CreateToken AssignPrimaryToken LockMemory IncreaseQuota MachineAccount Tcb Security TakeOwnership LoadDriver"
    " SystemProfile Systemtime ProfileSingleProcess IncreaseBasePriority CreatePagefile CreatePermanent Backup Restore"
    " Shutdown Debug Audit SystemEnvironment ChangeNotify RemoteShutdown Undock SyncAgent EnableDelegation ManageVolume"
    " Impersonate CreateGlobal TrustedCredManAccess Relabel IncreaseWorkingSet TimeZone CreateSymbolicLink"
    " DelegateSessionUserImpersonate"
)
_FIRST_PRIVILEGE = 2


class TokenGroup(NamedTuple):
    """A SID of a token with its SE_GROUP_… attributes; `problem` says why the SID is None."""

    sid: Optional[str]
    attributes: int
    problem: Optional[DumpkitError] = None

    @property
    def words(self) -> List[str]:
        """The attributes as the debugger names them."""
        return [word for bits, word in _GROUP_ATTRIBUTES if self.attributes & bits == bits]


class Privilege(NamedTuple):
    """A privilege that a token has: the low part of its LUID, and whether it is enabled now and at first."""

    number: int
    name: Optional[str]
    is_enabled: bool
    is_default: bool


def privilege_name(number: int) -> Optional[str]:
    """SeDebugPrivilege for 20; None for a number that no privilege has."""
    names = _PRIVILEGES.split()
    index = number - _FIRST_PRIVILEGE
    return f"Se{names[index]}Privilege" if 0 <= index < len(names) else None


class Token:
    """A _TOKEN at a virtual address. Properties raise MemoryReadError and SymbolError."""

    def __init__(self, target: Target, address: int) -> None:
        self.target = target
        self.address = int(address) & U64_MASK
        self._record: Any = None

    @property
    def record(self) -> Any:
        """The typed view."""
        if self._record is None:
            self._record = self.target.type("_TOKEN").at(self.address)
        return self._record

    def groups(self, array: str = "UserAndGroups", count: str = "UserAndGroupCount") -> Iterator[TokenGroup]:
        """Its SIDs; of UserAndGroups the first is the user. Raises DumpkitError for a count that cannot be."""
        number, place = int(self.record.member(count)), int(self.record.member(array))
        if number > MOST_GROUPS:
            raise DumpkitError(f"the token at {self.address:016x} claims {number} SIDs")
        memory = self.target.memory
        for index in range(number):
            entry = place + _SID_AND_ATTRIBUTES_SIZE * index
            data = memory.read(entry, _SID_AND_ATTRIBUTES_SIZE)
            attributes = int.from_bytes(data[8:12], "little")
            try:
                sid = sid_text(memory, int.from_bytes(data[:8], "little"))
                yield TokenGroup(sid, attributes)
            except DumpkitError as error:
                yield TokenGroup(None, attributes, error)

    @property
    def user(self) -> str:
        """The SID of the user. Raises DumpkitError where there is none."""
        for group in self.groups():
            if group.problem is not None:
                raise group.problem
            return str(group.sid)
        raise DumpkitError("the token has no user")

    @property
    def account(self) -> Optional[str]:
        """AUTHORITY\\ACCOUNT of its logon session, or None where that is not to be had."""
        try:
            session = self.record.LogonSession
            if not session:
                return None
            authority, account = session.AuthorityName.text(), session.AccountName.text()
        except (SymbolError, MemoryReadError):
            return None
        if not account:
            return None
        return f"{authority}\\{account}" if authority else str(account)

    @property
    def privileges(self) -> List[Privilege]:
        """The privileges that it has, by number (bit masks since Windows Vista)."""
        bits = self.record.Privileges
        present, enabled, default = int(bits.Present), int(bits.Enabled), int(bits.EnabledByDefault)
        return [
            Privilege(number, privilege_name(number), bool(enabled >> number & 1), bool(default >> number & 1))
            for number in range(64)
            if present >> number & 1
        ]

    def luid(self, member: str) -> Tuple[int, int]:
        """A LUID: high and low part."""
        value = self.record.member(member)
        return int(value.HighPart), int(value.LowPart)


def process_token(process: Process) -> Token:
    """The primary token of a process. Raises DumpkitError where it has none."""
    value = process.record.get("Token.Object")
    if value is None:
        value = process.record.member("Token.Value")
    # The low bits of a fast reference count the references that are left in it.
    place = int(value) & ~0xF
    if not place:
        raise DumpkitError("the process has no token")
    return Token(process.target, place)


def impersonation_token(thread: Thread) -> Optional[Token]:
    """The token that a thread impersonates, or None where it does not. Raises MemoryReadError, SymbolError."""
    record = thread.record
    if not record.get("ActiveImpersonationInfo", 0):
        return None
    # Its low bits are the level and whether only the effective part counts.
    place = int(record.member("ClientSecurity.ImpersonationToken")) & ~7
    return Token(thread.target, place) if place else None
