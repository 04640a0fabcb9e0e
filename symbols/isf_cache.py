"""The packed form of ISF tables on disk, so that the second load of one costs milliseconds.

A cache file belongs to one source file, known by path, size and time of change. It is dumpkit's own
format: a header (below), the path, then a packed table. Nothing here fails a load: a cache that is
missing, foreign, outdated or damaged is not used, and one that cannot be written is not written.
"""

from __future__ import annotations

import os
import zlib
from struct import Struct

from dumpkit.errors import SymbolError
from dumpkit.symbols.isf_table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Importing it costs more than reading a table does.
    from pathlib import Path
    from typing import List, Optional, Tuple, Union

    from typing_extensions import TypeAlias

    AnyPath = Union[str, Path]

#: Raise it whenever the packed layout or what is packed changes.
VERSION = 3
#: A cache file above this is refused unread; one for a kernel is 2-3 MB.
SIZE_LIMIT = 128 << 20
#: The folder keeps so many tables; the longest unused go first.
FILES_KEPT = 32
SUFFIX = ".isf-cache"

_MAGIC = b"dumpkitI"
# magic, byte order mark, version, CRC-32 of everything behind it, length of the path, size and time of the source
_HEADER = Struct("=8sIIIIQQ")
_BYTE_ORDER = 0x01020304
_CHECKED_FROM = 20

#: (size in bytes, time of last change in ns) of a source file
Stamp: TypeAlias = "Tuple[int, int]"


def default_folder() -> str:
    """The folder for files that dumpkit can make again: $DUMPKIT_CACHE, or the platform's place for caches."""
    chosen = os.environ.get("DUMPKIT_CACHE")
    if chosen:
        return chosen
    local = os.environ.get("LOCALAPPDATA")
    if local:
        return os.path.join(local, "dumpkit", "cache")
    base = os.environ.get("XDG_CACHE_HOME")
    return os.path.join(base or os.path.expanduser("~/.cache"), "dumpkit")


def cache_path(folder: AnyPath, source: AnyPath) -> str:
    """The cache file of a source file in `folder`."""
    name = os.path.basename(source)
    return os.path.join(folder, f"{name[:60]}-{zlib.crc32(os.fsencode(source)):08x}{SUFFIX}")


def read(folder: AnyPath, source: AnyPath, stamp: Stamp) -> Optional[Table]:
    """The table cached for `source` as it is now, or None."""
    path = cache_path(folder, source)
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > SIZE_LIMIT:
                return None
            data = file.read()
    except OSError:
        return None
    if len(data) < _HEADER.size:
        return None
    magic, order, version, checksum, path_size, size, changed = _HEADER.unpack_from(data)
    if (magic, order, version) != (_MAGIC, _BYTE_ORDER, VERSION) or (size, changed) != stamp:
        return None
    start = _HEADER.size + path_size + (-path_size) % 4
    if data[_HEADER.size : _HEADER.size + path_size] != os.fsencode(source):
        return None
    if zlib.crc32(memoryview(data)[_CHECKED_FROM:]) != checksum:
        return None
    try:
        return Table(data, start)
    except SymbolError:
        return None


def write(folder: AnyPath, source: AnyPath, stamp: Stamp, packed: bytes) -> bool:
    """Cache a packed table; it lands whole or not at all. False where the folder cannot be written."""
    from pathlib import Path

    name = os.fsencode(source)
    rest = _HEADER.pack(_MAGIC, _BYTE_ORDER, VERSION, 0, len(name), *stamp)[_CHECKED_FROM:]
    body = rest + name + bytes(-len(name) % 4) + packed
    head = _HEADER.pack(_MAGIC, _BYTE_ORDER, VERSION, zlib.crc32(body), len(name), *stamp)[:_CHECKED_FROM]
    path = Path(cache_path(folder, source))
    draft = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with draft.open("xb") as file:
                file.write(head)
                file.write(body)
            draft.replace(path)
        except OSError:
            draft.unlink()
            return False
        _discard_oldest(path)
    except OSError:
        return False
    return True


def _discard_oldest(newest: Path) -> None:
    """Keep FILES_KEPT cache files of this kind in the newest one's folder."""
    others: List[Tuple[int, Path]] = []
    for path in newest.parent.glob(f"*{SUFFIX}"):
        if path != newest:
            others.append((path.stat().st_mtime_ns, path))
    others.sort(reverse=True)
    for _, path in others[FILES_KEPT - 1 :]:
        path.unlink()
