"""The version resource of an image: who made it, what it is, which version.

Layouts: the resource tree (IMAGE_RESOURCE_DIRECTORY, _ENTRY, _DATA_ENTRY) from Microsoft's PE format; VS_VERSIONINFO,
StringFileInfo, StringTable and String from the Win32 documentation. A driver's resources are often discardable: memory
then holds none, and the file on the symbol path is asked.
"""

from __future__ import annotations

from struct import Struct, unpack_from

from dumpkit.errors import SymbolError
from dumpkit.named_tuple import NamedTuple
from dumpkit.symbols.module_image import ModuleImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, Optional, Tuple

_RESOURCES, _RT_VERSION = 2, 16
_DIRECTORY = Struct("<12xHH")
_ENTRY = Struct("<II")
_DATA_ENTRY = Struct("<II8x")
_BLOCK = Struct("<HHH")
_FIXED_SIGNATURE = 0xFEEF04BD
_IN_TREE = 0x8000_0000
#: Entries of one directory that are looked at, bytes of a resource, levels of blocks in it.
_MOST_ENTRIES, _MOST_BYTES, _MOST_LEVELS = 512, 0x10000, 4


class VersionResource(NamedTuple):
    """What a version resource says."""

    #: "10.0.19041.1" of the fixed part, "" where there is none.
    file_version: str
    #: CompanyName, FileDescription, ProductName …
    strings: Dict[str, str]

    @property
    def company(self) -> str:
        """CompanyName, "" where the resource does not say."""
        return self.strings.get("CompanyName", "").strip()


def version_resource(image: ModuleImage) -> Optional[VersionResource]:
    """The version resource of an image, or None where it has none, or neither memory nor a file holds it."""
    try:
        rva, _ = image.directory(_RESOURCES)
    except SymbolError:
        return None
    if not rva:
        return None
    found = _find(image, rva)
    if found is None:
        return None
    data = image.read(*found)
    return _parse(data) if len(data) == found[1] else None


def _find(image: ModuleImage, root: int) -> Optional[Tuple[int, int]]:
    """(RVA, size) of the version resource: in the tree below type 16, the first name and the first language."""
    place = root
    for level in range(3):
        wanted = _RT_VERSION if level == 0 else None
        following = next((entry for name, entry in _entries(image, place) if wanted in (None, name)), None)
        if following is None:
            return None
        if not following & _IN_TREE:
            data = image.read(root + following, _DATA_ENTRY.size)
            if len(data) < _DATA_ENTRY.size:
                return None
            rva, size = _DATA_ENTRY.unpack(data)
            return rva, min(size, _MOST_BYTES)
        place = root + (following & ~_IN_TREE)
    return None


def _entries(image: ModuleImage, rva: int) -> Iterator[Tuple[int, int]]:
    head = image.read(rva, 16)
    if len(head) < 16:
        return
    count = min(sum(_DIRECTORY.unpack(head)), _MOST_ENTRIES)
    table = image.read(rva + 16, count * _ENTRY.size)
    for at in range(0, len(table) - _ENTRY.size + 1, _ENTRY.size):
        yield _ENTRY.unpack_from(table, at)


def _parse(data: bytes) -> Optional[VersionResource]:
    strings: Dict[str, str] = {}
    version = ""
    for key, value, _ in _blocks(data, 0, len(data), 0):
        if key == "VS_VERSION_INFO" and len(value) >= 52 and unpack_from("<I", value)[0] == _FIXED_SIGNATURE:
            high, low = unpack_from("<II", value, 8)
            version = f"{high >> 16}.{high & 0xFFFF}.{low >> 16}.{low & 0xFFFF}"
        elif value and _is_name(key):
            strings.setdefault(key, value.decode("utf-16-le", "replace").split("\0", 1)[0])
    return VersionResource(version, strings) if version or strings else None


def _is_name(key: str) -> bool:
    return key.isidentifier() and key not in ("Translation", "VS_VERSION_INFO")


def _blocks(data: bytes, start: int, end: int, level: int) -> Iterator[Tuple[str, bytes, int]]:
    """(key, value, level) of each block between two offsets, and of those inside them."""
    while start + _BLOCK.size <= end and level < _MOST_LEVELS:
        length, value_length, is_text = _BLOCK.unpack_from(data, start)
        if length < _BLOCK.size or start + length > end:
            return
        close = data.find(b"\0\0", start + 6)
        while close != -1 and (close - start) % 2:
            close = data.find(b"\0\0", close + 1)
        if close == -1 or close >= start + length:
            return
        key = data[start + 6 : close].decode("utf-16-le", "replace")
        value_at = _aligned(close + 2)
        value_size = min(value_length * 2 if is_text else value_length, start + length - value_at)
        yield key, data[value_at : value_at + max(value_size, 0)], level
        yield from _blocks(data, _aligned(value_at + max(value_size, 0)), start + length, level + 1)
        start = _aligned(start + length)


def _aligned(offset: int) -> int:
    return (offset + 3) & ~3
