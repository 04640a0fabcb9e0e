"""Command files: the door for batches, and what `$$><`, `$$>a<` and `$<` run."""

from __future__ import annotations

import re
from pathlib import Path

from dumpkit.errors import CommandError, DumpkitError
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence

#: How deep command files may run each other.
_DEPTH = 16
#: No command file is larger, in bytes.
_LARGEST = 4 << 20

#: Characters of a path that an error repeats.
_SHOWN = 200

_ARGUMENT = re.compile(r"\$\{(/d:)?\$arg(\d{1,4})\}")


class ScriptError(CommandError):
    """A command of a file failed: the file and the line, and why."""

    def __init__(self, path: str, number: int, cause: DumpkitError) -> None:
        self.path = path
        self.number = number
        self.cause = cause
        #: Whether the user has been told of it.
        self.reported = False
        super().__init__(f"{path}:{number}: {cause}")


def find_script(session: Session, path: str) -> Path:
    """The command file of that path: as given, or beside the dump. Raises CommandError."""
    try:
        given = Path(path).expanduser()
        beside = Path(session.target.name).parent / path if session.target is not None else given
        for candidate in (given, beside):
            if candidate.is_file():
                return candidate
    except (OSError, RuntimeError) as error:
        raise CommandError(f"command file {path[:_SHOWN]} cannot be read: {error}") from error
    raise CommandError(f"command file {path[:_SHOWN]}: no such file here or beside the dump")


def read_script(session: Session, path: str, arguments: Optional[Sequence[str]] = None) -> List[str]:
    """The lines of a command file, `${$argN}` replaced where arguments are given."""
    session.refuse_if_confined("run a file")
    found = find_script(session, path)
    try:
        if found.stat().st_size > _LARGEST:
            raise CommandError(f"command file {path} is larger than {_LARGEST >> 20} MB")
        raw = found.read_bytes()
        # PowerShell's > writes UTF-16, with its mark.
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise CommandError(f"command file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(
            f"command file {path} cannot be read: it is neither UTF-8 nor UTF-16 text (byte {error.start})"
        ) from error
    if arguments is not None:
        text = _ARGUMENT.sub(lambda match: _argument(arguments, match), text)
    return text.splitlines()


def _argument(arguments: Sequence[str], match: re.Match[str]) -> str:
    """What stands for `${$argN}`: the argument, itself where there is none; for `${/d:$argN}`, whether there is one."""
    number = int(match.group(2))
    is_given = 1 <= number <= len(arguments)
    if match.group(1):
        return "1" if is_given else "0"
    return arguments[number - 1] if is_given else match.group()


def run_block(session: Session, path: str, arguments: Optional[Sequence[str]] = None) -> None:
    """Run a file's commands as one block, silently; the first that fails ends it, unless the session keeps going."""
    _run(session, path, read_script(session, path, arguments), echo=False)


def run_lines(session: Session, path: str, echo: bool = True) -> None:
    """Run a file line by line, each shown behind the prompt first, as if it were typed."""
    _run(session, path, read_script(session, path), echo)


def _run(session: Session, path: str, lines: Sequence[str], echo: bool) -> None:
    """Run lines. With `keep_going` every failure is reported, the rest still runs, and the first is raised last."""
    if session.script_depth >= _DEPTH:
        raise CommandError(f"command file {path}: {_DEPTH} command files deep, which looks like one that runs itself")
    first: Optional[ScriptError] = None
    session.script_depth += 1
    try:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if echo and not session.json:
                session.output.line(f"{session.prompt}{line.strip()}")
            try:
                session.execute(line)
            except DumpkitError as error:
                failure = error if isinstance(error, ScriptError) else ScriptError(path, number, error)
                if not session.keep_going:
                    raise failure from error
                if not (isinstance(error, ScriptError) and error.reported):
                    session.report(failure)
                    failure.reported = True
                first = first or failure
            if session.ended:
                break
    finally:
        session.script_depth -= 1
    if first is not None:
        raise first
