"""Dump files: the Target that a crash dump is, in pure Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from dumpkit.dump.target import DumpTarget


def open_dump(path: str, symbol_path: Optional[str] = None, offline: bool = False) -> DumpTarget:
    """Open the 64-bit kernel dump at a path; only its header is read (and a bitmap dump's bitmap).

    `symbol_path` and `offline` say where the target's symbols are to be looked for later. A damaged dump
    gives what there is, and its `notes` say what is missing. Raises DumpkitError for a file that cannot be
    read, DumpFormatError for one that is no such dump.
    """
    from dumpkit.dump.header import TRIAGE, parse_header
    from dumpkit.dump.mapping import map_file

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
