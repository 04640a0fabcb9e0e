"""Dump files: the Target that a crash dump is, in pure Python."""

from __future__ import annotations

from dumpkit.errors import DumpkitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from dumpkit.dump.target import DumpTarget


def find_dump(path: str) -> str:
    """The dump that a path names: itself, or the only one in a folder. Raises DumpkitError."""
    from os import listdir
    from os.path import expanduser, isdir, join

    folder = expanduser(path)
    if not isdir(folder):
        return folder
    try:
        found = sorted(name for name in listdir(folder) if name.lower().endswith(".dmp"))
    except OSError as error:
        raise DumpkitError(f"{path} cannot be read: {error.strerror}") from error
    if len(found) != 1:
        raise DumpkitError(f"{path} is a folder with {len(found)} files named *.dmp; name the dump itself")
    return join(folder, found[0])


def open_dump(path: str, symbol_path: Optional[str] = None, offline: bool = False) -> DumpTarget:
    """Open the 64-bit kernel dump at a path, or the only one in a folder.

    Only its header is read (and a bitmap dump's bitmap).

    `symbol_path` and `offline` say where the target's symbols are to be looked for later. A damaged dump
    gives what there is, and its `notes` say what is missing. Raises DumpkitError for a file that cannot be
    read, DumpFormatError for one that is no such dump.
    """
    from dumpkit.dump.header import TRIAGE, parse_header
    from dumpkit.dump.mapping import map_file

    path = find_dump(path)
    view = map_file(path)
    header = parse_header(view)
    target: DumpTarget
    if header.dump_type == TRIAGE:
        from dumpkit.dump.triage_target import TriageTarget

        target = TriageTarget(path, view, header)
    else:
        from dumpkit.dump.physical_target import PhysicalTarget

        target = PhysicalTarget(path, view, header)
    target.symbol_path = symbol_path
    target.offline = offline
    return target
