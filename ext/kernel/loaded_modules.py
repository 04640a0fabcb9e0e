"""The kernel's own list of loaded images: PsLoadedModuleList.

Layout: _KLDR_DATA_TABLE_ENTRY in the public symbols of ntoskrnl, x64 and ARM64; what is used of it has
had the same places since Windows Vista, except TimeDateStamp, which Windows 10 added. It is declared
here because modules must be known before any symbol file can be looked for.
"""

from __future__ import annotations

from struct import Struct, unpack_from
from typing import Iterator, List, NamedTuple, Optional, Set, Tuple

from dumpkit.errors import MemoryReadError
from dumpkit.memory import PAGE_SIZE, AddressSpace

#: More images than any Windows loads; a longer list is a damaged one.
MOST_IMAGES = 4096
#: UNICODE_STRING counts bytes in 16 bits; no path is nearly as long.
LONGEST_PATH = 0x2000

_ENTRY_SIZE = 0xA0
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
    forward, broken = _walk(memory, head, forward=True)
    entries = forward
    if broken is not None:
        backward, also = _walk(memory, head, forward=False, seen=set(forward))
        entries = forward + backward[::-1]
        notes.append(
            f"The list of loaded modules (PsLoadedModuleList, {head:016x}) is damaged: {broken}; {len(forward)} modules"
            f" were found from its start and {len(backward)} from its end{f' ({also})' if also else ''}."
        )
    images = [image for image in (_image(memory, entry, build) for entry in entries) if image is not None]
    nameless = sum(not image.path for image in images)
    if nameless:
        notes.append(f"The names of {nameless} of {len(images)} loaded modules are not in the dump.")
    return images


def _walk(
    memory: AddressSpace, head: int, forward: bool, seen: Optional[Set[int]] = None
) -> Tuple[List[int], Optional[str]]:
    """The entries' virtual addresses up to the head again, and why the walk ended before, or None.

    An entry that is in `seen` already ends the walk without being one more.
    """
    side = 0 if forward else 1
    link = "Flink" if forward else "Blink"
    known = set() if seen is None else seen
    entries: List[int] = []
    try:
        entry = _LINKS.unpack(memory.read(head, _LINKS.size))[side]
    except MemoryReadError as error:
        return entries, f"its head cannot be read ({error.reason})"
    previous = head
    while entry != head:
        if entry in known:
            return entries, f"the {link} of the entry at {previous:016x} leads back into the list"
        if len(entries) == MOST_IMAGES:
            return entries, f"it has more than {MOST_IMAGES} entries"
        try:
            links = _LINKS.unpack(memory.read(entry, _LINKS.size))
            plausible = _is_entry(memory, entry)
        except MemoryReadError as error:
            return entries, f"the entry at {entry:016x}, the {link} of {previous:016x}, cannot be read ({error.reason})"
        if not plausible:
            return entries, f"the {link} at {previous:016x} leads to {entry:016x}, which is no module"
        known.add(entry)
        entries.append(entry)
        previous, entry = entry, links[side]
    return entries, None


def _is_entry(memory: AddressSpace, entry: int) -> bool:
    base = memory.u64(entry + _DLL_BASE)
    return base >= PAGE_SIZE and not base & (PAGE_SIZE - 1)


def _image(memory: AddressSpace, entry: int, build: int) -> Optional[LoadedImage]:
    data = memory.read_prefix(entry, _ENTRY_SIZE)
    if len(data) < _BASE_DLL_NAME + _UNICODE_STRING.size:
        return None
    base: int = unpack_from("<Q", data, _DLL_BASE)[0]
    size: int = unpack_from("<I", data, _SIZE_OF_IMAGE)[0]
    path = _unicode_string(memory, data, _FULL_DLL_NAME) or _unicode_string(memory, data, _BASE_DLL_NAME)
    header = image_header(memory, base)
    if header is not None:
        return LoadedImage(base, header.size or size, path, header.timestamp, header.checksum)
    timestamp = checksum = 0
    if len(data) == _ENTRY_SIZE:
        checksum = unpack_from("<I", data, _CHECK_SUM)[0]
        if build >= _FIRST_BUILD_WITH_TIME:
            timestamp = unpack_from("<I", data, _TIME_DATE_STAMP)[0]
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
