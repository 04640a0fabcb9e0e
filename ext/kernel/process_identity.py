"""What a process was started as: its command line, the service in it, and the user it runs as.

The command line is in user mode, which kernel dumps do not hold; the user is in the process's token.
"""

from __future__ import annotations

from dumpkit.kernel.process import Process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

#: Names instead of numbers: the accounts of the system itself.
_SYSTEM_ACCOUNTS = ("S-1-5-18", "S-1-5-19", "S-1-5-20")


def command_line(process: Process) -> str:
    """The command line of a process. Raises DumpkitError with the reason where there is none to be read."""
    from dumpkit.kernel.process_environment import ProcessEnvironment

    return ProcessEnvironment(process).parameters.text("CommandLine")


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
    from dumpkit.kernel.security_identifier import sid_name
    from dumpkit.kernel.token import process_token

    token = process_token(process)
    account = token.account
    if account is not None:
        return account
    sid = token.user
    return (sid_name(sid) if sid in _SYSTEM_ACCOUNTS else None) or sid
