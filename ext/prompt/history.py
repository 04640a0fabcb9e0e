"""The lines of earlier sessions, kept in a file of the user's state folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dumpkit.errors import DumpkitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Mapping, Optional

#: The file is cut to half of this when it has grown beyond it, in bytes; no more of it is ever read.
LARGEST = 1 << 20


class HistoryError(DumpkitError):
    """The history cannot be kept."""


def state_folder(environ: Optional[Mapping[str, str]] = None, platform: str = sys.platform) -> Path:
    """The folder for what dumpkit remembers of its user.

    `%LOCALAPPDATA%\\dumpkit` on Windows, `~/Library/Application Support/dumpkit` on macOS, elsewhere
    `$XDG_STATE_HOME/dumpkit` or `~/.local/state/dumpkit` (XDG Base Directory Specification 0.8, by which a
    relative path counts as unset). Raises HistoryError where the user has no home.
    """
    environ = os.environ if environ is None else environ
    try:
        if platform == "win32":
            local = environ.get("LOCALAPPDATA")
            return (Path(local) if local else Path("~/AppData/Local").expanduser()) / "dumpkit"
        if platform == "darwin":
            return Path("~/Library/Application Support/dumpkit").expanduser()
        state = environ.get("XDG_STATE_HOME", "")
        return (Path(state) if state.startswith("/") else Path("~/.local/state").expanduser()) / "dumpkit"
    except RuntimeError as error:
        raise HistoryError("this user has no home folder") from error


class History:
    """The lines in their file, one a line, oldest first."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the file, for its user's eyes only. Raises HistoryError where that fails."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
        except OSError as error:
            raise self._error(error) from error

    def load(self) -> List[str]:
        """The lines of earlier sessions; none where there is no file. Raises HistoryError where it cannot be read."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - LARGEST))
                lines = file.read(LARGEST).decode("utf-8", "replace").split("\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._error(error) from error
        if size > LARGEST:
            # The first line is the rest of one that began before.
            lines = lines[1 + len(lines) // 2 :]
            self._replace(lines)
        return [line for line in lines if line]

    def append(self, line: str) -> None:
        """Keep a line. Raises HistoryError where it cannot be written."""
        try:
            with self.path.open("a", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(line.replace("\n", " ") + "\n")
        except OSError as error:
            raise self._error(error) from error

    def _replace(self, lines: List[str]) -> None:
        """Write the whole file anew; another session sees the old or the new one."""
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            new.touch(mode=0o600)
            new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            new.replace(self.path)
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> HistoryError:
        return HistoryError(f"{self.path}: {error.strerror or error}")
