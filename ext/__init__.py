"""dumpkit: the Windows kernel crash-dump commands, inside WinDbg and without it.

    dump = dumpkit.open("MEMORY.DMP")

gives a `dumpkit.library.Dump`.
"""

from __future__ import annotations

import sys

# As typing's, without its import, which costs more than Python's own start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from importlib.machinery import ModuleSpec
    from typing import List, Optional, Sequence, Union

    from dumpkit import errors as errors
    from dumpkit.errors import CommandError as CommandError
    from dumpkit.errors import DumpFormatError as DumpFormatError
    from dumpkit.errors import DumpkitError as DumpkitError
    from dumpkit.errors import MemoryReadError as MemoryReadError
    from dumpkit.errors import SymbolError as SymbolError
    from dumpkit.library import Answer as Answer
    from dumpkit.library import Dump as Dump

__version__ = "0.1.0"

#: What programs find here -> the module that it is taken from when it is asked for.
_NAMES = {
    "Answer": "library",
    "CommandError": "errors",
    "Dump": "library",
    "DumpFormatError": "errors",
    "DumpkitError": "errors",
    "MemoryReadError": "errors",
    "SymbolError": "errors",
}


def open(
    path: Union[str, os.PathLike[str]],
    symbols: Union[str, os.PathLike[str], Sequence[Union[str, os.PathLike[str]]], None] = None,
    offline: bool = False,
) -> Dump:
    """Open a dump, or the only one in a folder.

    `symbols` is a symbol path in WinDbg's syntax, a folder, or several of these, looked in before _NT_SYMBOL_PATH;
    `offline` asks no server, whatever the path says. Raises DumpkitError for a file that cannot be read,
    DumpFormatError for one that is no such dump.
    """
    from dumpkit.library import open_dump

    return open_dump(path, symbols, offline)


if not TYPE_CHECKING:
    # Type checkers know the names above, and no others.
    def __getattr__(name):
        from importlib import import_module

        if name == "errors":
            return import_module("dumpkit.errors")
        if name in _NAMES:
            return getattr(import_module(f"dumpkit.{_NAMES[name]}"), name)
        raise AttributeError(f"module 'dumpkit' has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted(("__version__", "errors", "open", *_NAMES))


class _Commands:
    """Asked last by the import system: `python -m dumpkit.di`, as `!py -m` runs it, is the command di."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> Optional[ModuleSpec]:
        if not name.startswith("dumpkit.") or name.count(".") != 1:
            return None
        from dumpkit.launchers import module_spec

        return module_spec(name)


sys.meta_path.append(_Commands)
