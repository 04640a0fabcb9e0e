"""dumpkit: the Windows kernel crash-dump commands, inside WinDbg and without it.

    dump = dumpkit.open("MEMORY.DMP")

gives a `dumpkit.library.Dump`.
"""

from __future__ import annotations

import sys

# As typing's, without its import, which costs more than Python's own start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Optional

    from dumpkit.library import Dump

__version__ = "0.1.0"


def open(path: str, symbols: Optional[str] = None, offline: bool = False) -> Dump:
    """Open a dump, or the only one in a folder; see `dumpkit.library.open_dump`."""
    from dumpkit.library import open_dump

    return open_dump(path, symbols, offline)


class _Commands:
    """Asked last by the import system: `python -m dumpkit.di`, as `!py -m` runs it, is the command di."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> Optional[ModuleSpec]:
        if not name.startswith("dumpkit.") or name.count(".") != 1:
            return None
        from dumpkit.launchers import module_spec

        return module_spec(name)


sys.meta_path.append(_Commands)
