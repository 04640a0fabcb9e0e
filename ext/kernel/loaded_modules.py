"""The kernel's own list of loaded images: PsLoadedModuleList.

Layout: _KLDR_DATA_TABLE_ENTRY in the public symbols of ntoskrnl, x64 and ARM64; what is used of it has
had the same places since Windows Vista, except TimeDateStamp, which Windows 10 added. It is declared
here because modules must be known before any symbol file can be looked for.
"""

from __future__ import annotations

from struct import Struct, unpack_from

from dumpkit.errors import MemoryReadError
from dumpkit.memory import PAGE_SIZE, AddressSpace
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Mapping, Optional, Tuple

#: More images than any Windows loads; a longer list is a damaged one.
MOST_IMAGES = 4096
#: UNICODE_STRING counts bytes in 16 bits; no path is nearly as long.
LONGEST_PATH = 0x2000

_ENTRY_SIZE = 0xA0
#: Without the names an entry is of no use.
_LEAST_SIZE = 0x68
_LINKS = Struct("<QQ")
_DLL_BASE = 0x30
_SIZE_OF_IMAGE = 0x40
_FULL_DLL_NAME = 0x48
_BASE_DLL_NAME = 0x58
_CHECK_SUM = 0x78
_TIME_DATE_STAMP = 0x9C
_FIRST_BUILD_WITH_TIME = 10240

_UNICODE_STRING = Struct("<HH4xQ")


class LoadedImage(NamedTuple):
    """An image as its loader recorded it. `base` is a virtual address, `size` SizeOfImage in bytes."""

    base: int
    size: int
    #: Path or file name; empty where the target does not hold it.
    path: str
    #: TimeDateStamp and CheckSum of the PE header; 0 where the target does not hold them.
    timestamp: int
    checksum: int


def loaded_images(memory: AddressSpace, head: int, build: int, notes: List[str]) -> List[LoadedImage]:
    """The images of the list whose head is at the virtual address `head`, in the order of the list.

    A damaged list is walked from both ends; what is damaged or missing is added to `notes`, one line
    each. The walk is bounded and ends in loops.
    """
    entries, broken = _walk(memory, head, forward=True, known={})
    if broken is not None:
        backward, also = _walk(memory, head, forward=False, known=entries)
        notes.append(
            f"The list of loaded modules (PsLoadedModuleList, {head:016x}) is damaged: {broken}; {len(entries)} modules"
            f" were found from its start and {len(backward)} from its end{f' ({also})' if also else ''}."
        )
        entries.update(reversed(list(backward.items())))
    images = [_image(memory, record, build) for record in entries.values()]
    nameless = sum(not image.path for image in images)
    if nameless:
        notes.append(f"The names of {nameless} of {len(images)} loaded modules are not in the dump.")
    return images


def _walk(
    memory: AddressSpace, head: int, forward: bool, known: Mapping[int, bytes]
) -> Tuple[Dict[int, bytes], Optional[str]]:
    """The list's entries by virtual address, and why the walk ended before the head, or None.

    An entry that is `known` already ends the walk without being one more.
    """
    side = 0 if forward else 1
    link = "Flink" if forward else "Blink"
    entries: Dict[int, bytes] = {}
    try:
        entry = _LINKS.unpack(memory.read(head, _LINKS.size))[side]
    except MemoryReadError as error:
        return entries, f"its head cannot be read ({error.reason})"
    previous = head
    while entry != head:
        if entry in entries or entry in known:
            return entries, f"the {link} of the entry at {previous:016x} leads back into the list"
        if len(entries) == MOST_IMAGES:
            return entries, f"it has more than {MOST_IMAGES} entries"
        record = memory.read_prefix(entry, _ENTRY_SIZE)
        if len(record) < _LEAST_SIZE:
            reason = memory.explain(entry + len(record))
            return entries, f"the entry at {entry:016x}, the {link} of {previous:016x}, cannot be read ({reason})"
        if not _is_entry(record):
            return entries, f"the {link} at {previous:016x} leads to {entry:016x}, which is no module"
        entries[entry] = record
        previous, entry = entry, _LINKS.unpack_from(record)[side]
    return entries, None


def _is_entry(record: bytes) -> bool:
    base: int = unpack_from("<Q", record, _DLL_BASE)[0]
    return base >= PAGE_SIZE and not base & (PAGE_SIZE - 1)


def _image(memory: AddressSpace, record: bytes, build: int) -> LoadedImage:
    base: int = unpack_from("<Q", record, _DLL_BASE)[0]
    size: int = unpack_from("<I", record, _SIZE_OF_IMAGE)[0]
    path = _unicode_string(memory, record, _FULL_DLL_NAME) or _unicode_string(memory, record, _BASE_DLL_NAME)
    header = image_header(memory, base)
    if header is not None:
        return LoadedImage(base, header.size or size, path, header.timestamp, header.checksum)
    timestamp = checksum = 0
    if len(record) == _ENTRY_SIZE:
        checksum = unpack_from("<I", record, _CHECK_SUM)[0]
        if build >= _FIRST_BUILD_WITH_TIME:
            timestamp = unpack_from("<I", record, _TIME_DATE_STAMP)[0]
    return LoadedImage(base, size, path, timestamp, checksum)


def _unicode_string(memory: AddressSpace, data: bytes, offset: int) -> str:
    """The text of the UNICODE_STRING at an offset of `data`; empty where it is not in the dump."""
    length, _, buffer = _UNICODE_STRING.unpack_from(data, offset)
    text = memory.read_prefix(buffer, min(length & ~1, LONGEST_PATH)) if buffer else b""
    return text.decode("utf-16-le", "replace").split("\0", 1)[0]


class ImageHeader(NamedTuple):
    """The fields of a PE header that tell one build of an image from another."""

    size: int
    timestamp: int
    checksum: int


def image_header(memory: AddressSpace, base: int) -> Optional[ImageHeader]:
    """The PE header of the image at a virtual address, or None where the target does not hold one.

    Layout: IMAGE_NT_HEADERS64 in winnt.h.
    """
    page = memory.read_prefix(base, PAGE_SIZE)
    if len(page) < 0x40 or page[:2] != b"MZ":
        return None
    start: int = unpack_from("<I", page, 0x3C)[0]
    if start + 0x5C > len(page) or page[start : start + 4] != b"PE\0\0":
        return None
    size, checksum = unpack_from("<I4xI", page, start + 0x50)
    return ImageHeader(size, unpack_from("<I", page, start + 8)[0], checksum)


#: An entry of MmUnloadedDrivers: UNICODE_STRING Name; start; end; FILETIME of the unload. Not in any public
#: symbol file; as volatility's `unloadedmodules` and rekall document it.
_UNLOADED = Struct("<HH4xQQQQ")
_UNLOADED_COUNT = 50


class UnloadedImage(NamedTuple):
    """An image that was unloaded: the virtual addresses `[start, end)` it had, and the FILETIME it left."""

    start: int
    end: int
    name: str
    time: int


def unloaded_images(memory: AddressSpace, array_pointer: int, next_index: int) -> Iterator[UnloadedImage]:
    """The unloaded images, newest first.

    `array_pointer` and `next_index` are the virtual addresses of the variables MmUnloadedDrivers and
    MmLastUnloadedDriver. Raises MemoryReadError where one of the two or the array is not in the dump.
    """
    array = memory.u64(array_pointer)
    if not array:
        return
    data = memory.read(array, _UNLOADED.size * _UNLOADED_COUNT)
    newest = memory.u32(next_index) - 1
    for back in range(_UNLOADED_COUNT):
        length, _, buffer, start, end, time = _UNLOADED.unpack_from(
            data, (newest - back) % _UNLOADED_COUNT * _UNLOADED.size
        )
        if not start and not buffer:
            continue
        text = memory.read_prefix(buffer, min(length & ~1, LONGEST_PATH)) if buffer else b""
        yield UnloadedImage(start, end, text.decode("utf-16-le", "replace"), time)
