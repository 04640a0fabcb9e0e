"""dumpkit: the Windows kernel crash-dump commands, inside WinDbg and without it.

    dump = dumpkit.open("MEMORY.DMP")

gives a `dumpkit.library.Dump`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from dumpkit.library import Dump

__version__ = "0.1.0"


def open(path: str, symbols: Optional[str] = None, offline: bool = False) -> Dump:
    """Open a dump, or the only one in a folder; see `dumpkit.library.open_dump`."""
    from dumpkit.library import open_dump

    return open_dump(path, symbols, offline)
