"""Dump files: the Target that a crash dump is, in pure Python."""

from __future__ import annotations

from dumpkit.errors import DumpkitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mmap import mmap
    from typing import Optional, Union

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
    """Open the 64-bit kernel dump at a path, or the only one in a folder or in an archive.

    Only its header is read (and a bitmap dump's bitmap); what is in an archive is unpacked first.

    `symbol_path` and `offline` say where the target's symbols are to be looked for later. A damaged dump
    gives what there is, and its `notes` say what is missing. Raises DumpkitError for a file that cannot be
    read, DumpFormatError for one that is no such dump.
    """
    from dumpkit.dump.header import TRIAGE, parse_header
    from dumpkit.dump.mapping import map_file

    path = find_dump(path)
    view = map_file(path)
    # A kernel dump is not asked whether it is an archive.
    if len(view) and view[:4] != b"PAGE":
        view = _unpacked(path, view)
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


def _unpacked(path: str, view: Union[bytes, mmap]) -> Union[bytes, mmap]:
    """The only dump of an archive; the file itself where it is none. Raises DumpkitError for several dumps or none."""
    import sys
    from pathlib import Path

    from dumpkit.dump.archives import SIGNATURE_SIZE, archive_kind, dumps_among, members, unpacked
    from dumpkit.dump.mapping import map_file

    kind = archive_kind(view[:SIGNATURE_SIZE])
    if kind is None:
        return view
    dumps = dumps_among(members(Path(path), kind))
    if len(dumps) != 1:
        advice = f"unpack one, or `dumpkit triage {path}`" if dumps else "no file in it is named as dumps are"
        raise DumpkitError(f"{path} is an archive with {len(dumps)} dumps: {advice}")
    with unpacked(Path(path), kind, dumps[0]) as inner:
        found = map_file(str(inner))
        # Windows deletes no file that is mapped.
        return bytes(found) if sys.platform == "win32" else found
