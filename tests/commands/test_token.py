"""token: users, groups and privileges; the names of accounts in p and tl."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumpkit.errors import MemoryReadError, SymbolError
from dumpkit.kernel.token import privilege_name, process_token
from dumpkit.output import data

from tests.forged_session import drop_page
from tests.running import run, run_lines, session_of
from tests.session_machine import ADMINISTRATORS, SYSTEM_SID, SessionLab, add_token
from tests.shared import needs_shared

LOGON = 0xC0000007
GROUPS = [((5, 21, 1, 2, 3, 1001), 0), (ADMINISTRATORS, 0xF), ((5, 5, 0, 71188), LOGON), ((16, 12288), 0x60)]


def lab_with_token(build: int, folder: Path) -> SessionLab:
    lab = SessionLab(build, folder)
    token = add_token(lab.machine, GROUPS, ("WORKSHOP", "maker"))
    token.set({"Privileges.Present": 1 << 20 | 1 << 23 | 1 << 50, "Privileges.Enabled": 1 << 23})
    token["Privileges.EnabledByDefault"] = 1 << 23
    lab.program["Token.Object"] = token.address | 0xC
    lab.parts["token"] = token.address
    return lab


@pytest.fixture(scope="module", params=(7601, 19041, 22000))
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SessionLab:
    return lab_with_token(request.param, tmp_path_factory.mktemp("token"))


def test_a_token_is_shown_with_its_user_groups_and_privileges(lab: SessionLab) -> None:
    token = lab.parts["token"]
    lines = run_lines(lab.session, f"!token {token:x}")
    assert lines == [
        f"_TOKEN 0x{token:016x}",
        "TS Session ID: 0x1",
        "User: S-1-5-21-1-2-3-1001",
        "User Groups: ",
        " 00 S-1-5-32-544",
        "    Attributes - Mandatory Default Enabled Owner ",
        " 01 S-1-5-5-0-71188",
        "    Attributes - Mandatory Default Enabled LogonId ",
        " 02 S-1-16-12288",
        "    Attributes - GroupIntegrity GroupIntegrityEnabled ",
        "Primary Group: S-1-5-21-1-2-3-1001",
        "Privs: ",
        " 20 0x000000014 SeDebugPrivilege                  Attributes - ",
        " 23 0x000000017 SeChangeNotifyPrivilege           Attributes - Enabled Default ",
        " 50 0x000000032 Unknown Privilege                 Attributes - ",
        "Authentication ID:         (0,3e7)",
        "Impersonation Level:       Anonymous",
        "TokenType:                 Primary",
        "Source: User32             TokenFlags: 0x2000 ( Token in use )",
        "Token ID: 1f1b4            ParentToken ID: 0",
        "Modified ID:               (0, 1f1b6)",
        "RestrictedSidCount: 0      RestrictedSids: 0x0000000000000000",
        "OriginatingLogonSession: 0",
    ]


def test_names_are_added_where_a_dump_has_them(lab: SessionLab) -> None:
    lines = run_lines(lab.session, f"token -n {lab.parts['token']:x}")
    assert lines[2] == "User: S-1-5-21-1-2-3-1001 (User: WORKSHOP\\maker)"
    assert lines[4] == " 00 S-1-5-32-544 (BUILTIN\\Administrators)"
    assert data(run(lab.session, f"token {lab.parts['token']:x}"))["account"] == "WORKSHOP\\maker"


def test_accounts_are_in_p_and_tl(lab: SessionLab) -> None:
    assert run_lines(lab.session, "tl -u a_very")[2].endswith(" WORKSHOP\\maker")
    assert run(lab.session, "p a_very_long_name.exe").user == "WORKSHOP\\maker"


def test_the_current_processs_token_is_shown_where_none_is_named(lab: SessionLab) -> None:
    run(lab.session, f".process {lab.program.address:x}")
    assert run_lines(lab.session, "token")[0] == f"_TOKEN 0x{lab.parts['token']:016x}"
    run(lab.session, ".process")


def test_an_impersonating_threads_token_goes_before_its_processs(tmp_path: Path) -> None:
    lab = lab_with_token(19041, tmp_path)
    runner = lab.made.threads["runner"]
    system = add_token(lab.machine, [(SYSTEM_SID, 0)])
    lab.made.scene.system["Token.Object"] = system.address | 1
    assert run_lines(lab.session, "token")[:2] == [
        "Thread is not impersonating. Using process token...",
        f"_TOKEN 0x{system.address:016x}",
    ]
    other = SessionLab(19041, tmp_path / "other")
    other.folder.mkdir()
    runner = other.made.threads["runner"]
    token = add_token(other.machine, [(SYSTEM_SID, 0)])
    token.set({"TokenType": 2, "ImpersonationLevel": 2})
    runner.set({"ActiveImpersonationInfo": 1, "ClientSecurity.ImpersonationData": token.address | 2})
    lines = run_lines(other.session, "token")
    assert lines[0] == f"_TOKEN 0x{token.address:016x}"
    assert "Impersonation Level:       Impersonation" in lines
    assert "TokenType:                 Impersonation" in lines


def test_the_systems_own_accounts_have_names_without_a_logon_session(tmp_path: Path) -> None:
    lab = SessionLab(19041, tmp_path)
    lab.program["Token.Object"] = add_token(lab.machine, [(SYSTEM_SID, 0)]).address | 3
    assert run_lines(lab.session, "tl -u a_very")[2].endswith(" NT AUTHORITY\\SYSTEM")


def test_a_sid_that_is_missing_leaves_the_others(tmp_path: Path) -> None:
    lab = lab_with_token(19041, tmp_path)
    array = lab.machine.view("_TOKEN", lab.parts["token"])["UserAndGroups"]
    lab.machine.put_u64(array + 16, 0xFFFFF90012340000)
    lines = run_lines(lab.session, f"token {lab.parts['token']:x}")
    assert " 00 ????" in lines
    assert " 01 S-1-5-5-0-71188" in lines
    assert lines[-1].startswith("a SID of token ")


def test_a_wild_count_of_groups_is_refused(tmp_path: Path) -> None:
    lab = lab_with_token(19041, tmp_path)
    lab.machine.view("_TOKEN", lab.parts["token"])["UserAndGroupCount"] = 0x7FFFFFFF
    lines = run_lines(lab.session, f"token {lab.parts['token']:x}")
    assert "User: ????" in lines
    assert any("claims 2147483647 SIDs" in line for line in lines)


def test_a_token_that_is_not_in_the_dump_is_one_line(tmp_path: Path) -> None:
    lab = lab_with_token(19041, tmp_path)
    drop_page(lab.machine, lab.parts["token"])
    with pytest.raises(MemoryReadError):
        process_token(lab.process()).record.SessionId  # noqa: B018
    with pytest.raises(MemoryReadError):
        run(lab.session, f"token {lab.parts['token']:x}")


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1, None),
        (2, "SeCreateTokenPrivilege"),
        (20, "SeDebugPrivilege"),
        (36, "SeDelegateSessionUserImpersonatePrivilege"),
        (37, None),
    ],
)
def test_privileges_have_their_numbers_names(number: int, name: object) -> None:
    assert privilege_name(number) == name


@needs_shared
def test_a_dump_without_symbols_says_so_in_one_line() -> None:
    with pytest.raises(SymbolError, match="has no symbols"):
        run_lines(session_of("triage_x64"), "token")
