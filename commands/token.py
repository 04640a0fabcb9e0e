"""`token`: an access token: user, groups, privileges, where it comes from.

Format: the example of the !token page in Microsoft's debugger documentation, and public transcripts of Windows 10.
"""

from __future__ import annotations

from dumpkit.errors import DumpkitError
from dumpkit.gaps import Gaps
from dumpkit.kernel.process import Process
from dumpkit.kernel.security_identifier import sid_name, sid_text
from dumpkit.kernel.thread import IMPERSONATION_LEVELS, Thread
from dumpkit.kernel.token import Token, TokenGroup, impersonation_token, process_token
from dumpkit.output import Hex, Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, Switch, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Tuple

_UNKNOWN = "????"
_TYPES = {1: "Primary", 2: "Impersonation"}


class GroupData(Record):
    """A SID of the token; None where it cannot be read. `name` is that of a SID that every machine has."""

    sid: Optional[str]
    name: Optional[str]
    attributes: Hex
    attribute_names: Tuple[str, ...]


class PrivilegeData(Record):
    """A privilege; `name` is None of a number that none has."""

    number: int
    name: Optional[str]
    enabled: bool
    enabled_by_default: bool


class TokenData(Record):
    """A token. What cannot be read is None; ids are LUIDs, their high and their low part."""

    address: Hex
    session: Optional[int]
    #: Its logon session's account, where that is in the dump.
    account: Optional[str]
    user: Optional[GroupData]
    groups: Tuple[GroupData, ...]
    restricted: Tuple[GroupData, ...]
    primary_group: Optional[str]
    privileges: Tuple[PrivilegeData, ...]
    authentication_id: Optional[Tuple[Hex, Hex]]
    #: Anonymous, Identification, Impersonation, Delegation.
    impersonation_level: Optional[str]
    #: Primary or Impersonation.
    token_type: Optional[str]
    source: Optional[str]
    flags: Optional[Hex]
    in_use: Optional[bool]
    token_id: Optional[Tuple[Hex, Hex]]
    parent_token_id: Optional[Tuple[Hex, Hex]]
    modified_id: Optional[Tuple[Hex, Hex]]
    restricted_sid_count: Optional[int]
    restricted_sids: Optional[Hex]
    originating_logon_session: Optional[Tuple[Hex, Hex]]
    problems: Tuple[str, ...]
    _with_names: bool = False
    _whose: str = ""


def token_lines(result: TokenData) -> Iterator[Line]:
    if result._whose:
        yield result._whose
    yield f"_TOKEN 0x{result.address:016x}"
    yield f"TS Session ID: {_UNKNOWN if result.session is None else hex(result.session)}"
    account = f" (User: {result.account})" if result._with_names and result.account else ""
    user = result.user
    yield f"User: {_UNKNOWN if user is None or user.sid is None else user.sid}{account}"
    yield "User Groups: "
    yield from _group_lines(result.groups, result._with_names)
    if result.restricted:
        yield "Restricted SIDs: "
        yield from _group_lines(result.restricted, result._with_names)
    yield f"Primary Group: {result.primary_group if result.primary_group is not None else _UNKNOWN}"
    yield "Privs: "
    for each in result.privileges:
        words = ("Enabled " if each.enabled else "") + ("Default " if each.enabled_by_default else "")
        yield f" {each.number:02d} 0x{each.number:09x} {each.name or 'Unknown Privilege':<33} Attributes - {words}"
    yield from _end_lines(result)
    for problem in result.problems:
        yield (Span(problem, "dim"),)


def _group_lines(groups: Sequence[GroupData], with_names: bool) -> Iterator[Line]:
    for number, group in enumerate(groups):
        name = f" ({group.name})" if with_names and group.name is not None else ""
        yield f" {number:02d} {group.sid if group.sid is not None else _UNKNOWN}{name}"
        yield "    Attributes - " + "".join(f"{word} " for word in group.attribute_names)


def _end_lines(result: TokenData) -> Iterator[Line]:
    flags = _UNKNOWN if result.flags is None else f"0x{result.flags:x}"
    in_use = "Token in use" if result.in_use else "Token NOT in use"
    yield f"{'Authentication ID:':<26} {_pair(result.authentication_id, ',')}"
    yield f"{'Impersonation Level:':<26} {result.impersonation_level or _UNKNOWN}"
    yield f"{'TokenType:':<26} {result.token_type or _UNKNOWN}"
    source = result.source if result.source is not None else _UNKNOWN
    yield f"Source: {source:<18} TokenFlags: {flags} ( {in_use} )"
    yield f"Token ID: {_low(result.token_id):<16} ParentToken ID: {_low(result.parent_token_id)}"
    yield f"{'Modified ID:':<26} {_pair(result.modified_id, ', ')}"
    count = _UNKNOWN if result.restricted_sid_count is None else str(result.restricted_sid_count)
    place = "?" * 16 if result.restricted_sids is None else f"{result.restricted_sids:016x}"
    yield f"RestrictedSidCount: {count:<6} RestrictedSids: 0x{place}"
    yield f"OriginatingLogonSession: {_low(result.originating_logon_session)}"


def _pair(luid: Optional[Tuple[Hex, Hex]], gap: str) -> str:
    return _UNKNOWN if luid is None else f"({luid[0]:x}{gap}{luid[1]:x})"


def _low(luid: Optional[Tuple[Hex, Hex]]) -> str:
    return _UNKNOWN if luid is None else f"{luid[0] << 32 | luid[1]:x}"


@command(
    "token",
    category="Kernel",
    summary="An access token: user, groups, privileges",
    arguments=(
        Switch("names", ("-n",), "names of accounts and groups too"),
        Expression("address", "a token; that of the current thread, or of its process, where it is left out or 0"),
    ),
    render=token_lines,
)
def token(session: Session, names: bool = False, address: int = 0) -> TokenData:
    """Shows an access token. Without an address that of the current thread where it impersonates, else its process's.

    -n adds names: the account from the token's logon session, and groups that are the same on every machine;
    those of a domain or machine are only numbers in a dump.
    """
    whose = ""
    if address:
        found = Token(session.dump, address)
    else:
        found, whose = _current(session)
    return _TokenReader(found).data(names, whose)


def _current(session: Session) -> Tuple[Token, str]:
    thread = Thread(session.dump, session.thread_address)
    # A process that .process chose has a token, the thread that the processor ran another.
    if session.process is None:
        impersonated = impersonation_token(thread)
        if impersonated is not None:
            return impersonated, ""
    whose = "Thread is not impersonating. Using process token..." if session.process is None else ""
    return process_token(Process(session.dump, session.process_address)), whose


class _TokenReader:
    """Reads a token's facts, and keeps what is missing."""

    def __init__(self, token: Token) -> None:
        self.token = token
        self.gaps = Gaps()
        self._what = f"token {token.address:016x}"

    def _luid(self, member: str) -> Optional[Tuple[Hex, Hex]]:
        found = self.gaps.read(self._what, lambda: self.token.luid(member))
        return None if found is None else (Hex(found[0] & 0xFFFF_FFFF), Hex(found[1]))

    def _number(self, member: str) -> Optional[int]:
        found: Optional[int] = self.gaps.read(self._what, lambda: int(self.token.record.member(member)))
        return found

    def _hex(self, member: str) -> Optional[Hex]:
        found = self._number(member)
        return None if found is None else Hex(found)

    def _groups(self, array: str, count: str) -> List[GroupData]:
        found: List[GroupData] = []
        try:
            for group in self.token.groups(array, count):
                self.gaps.add(f"a SID of {self._what}", group.problem)
                found.append(_group(group))
        except DumpkitError as error:
            self.gaps.add(f"the SIDs of {self._what}", error)
        return found

    def data(self, names: bool, whose: str) -> TokenData:
        token, read, what = self.token, self.gaps.read, self._what
        # Without symbols, or without the token, one line says it all.
        session = int(token.record.SessionId)
        sids = self._groups("UserAndGroups", "UserAndGroupCount")
        primary = read(
            f"the primary group of {what}", lambda: sid_text(token.target.memory, int(token.record.PrimaryGroup))
        )
        level, kind = self._number("ImpersonationLevel"), self._number("TokenType")
        in_use = self._number("TokenInUse")
        source = read(what, lambda: token.record.TokenSource.SourceName.text())
        return TokenData(
            Hex(token.address),
            session,
            token.account,
            sids[0] if sids else None,
            tuple(sids[1:]),
            tuple(self._groups("RestrictedSids", "RestrictedSidCount")),
            primary,
            tuple(PrivilegeData(*each) for each in read(f"the privileges of {what}", lambda: token.privileges, ())),
            self._luid("AuthenticationId"),
            IMPERSONATION_LEVELS[level] if level is not None and 0 <= level < len(IMPERSONATION_LEVELS) else None,
            _TYPES.get(kind) if kind is not None else None,
            None if source is None else source.rstrip(),
            self._hex("TokenFlags"),
            None if in_use is None else bool(in_use),
            self._luid("TokenId"),
            self._luid("ParentTokenId"),
            self._luid("ModifiedId"),
            self._number("RestrictedSidCount"),
            self._hex("RestrictedSids"),
            self._luid("OriginatingLogonSession"),
            self.gaps.lines(),
            names,
            whose,
        )


def _group(group: TokenGroup) -> GroupData:
    name = sid_name(group.sid) if group.sid is not None else None
    return GroupData(group.sid, name, Hex(group.attributes), tuple(group.words))
