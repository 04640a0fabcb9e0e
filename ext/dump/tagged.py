"""Tagged data: what drivers and Windows itself put behind a dump from their bugcheck callbacks.

Every piece carries the GUID of its owner (KBUGCHECK_SECONDARY_DUMP_DATA in wdm.h; `.enumtag` lists them).
Layout: DUMP_BLOB_FILE_HEADER and DUMP_BLOB_HEADER of ntiodump.h, checked against what `.enumtag` shows for
dumps of Windows 8.1 to 11.
"""

from __future__ import annotations

from struct import Struct

from dumpkit.dump.header import Buffer
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Tuple

#: Signature "DumpBlob", the header's size, the build of Windows.
_FILE_HEADER = Struct("<8sII")
_SIGNATURE = b"DumpBlob"

#: The header's size, GUID, the data's size, and the padding before and after the data.
_BLOB = Struct("<IIHH8sIII")
#: Headers of later versions may be larger, but not by much.
_LARGEST_BLOB_HEADER = 0x1000


class TaggedBlob(NamedTuple):
    """A piece of tagged data.

    `guid` is in lower case without braces; `offset` the file offset of the data; `size` the bytes that it should
    have; `available` those that the file holds.
    """

    guid: str
    offset: int
    size: int
    available: int


def tagged_data(view: Buffer, offset: int) -> Tuple[List[TaggedBlob], List[str]]:
    """The tagged data whose file header is at a file offset, and what is damaged in it, one line each.

    Both are empty where no tagged data begins there.
    """
    blobs: List[TaggedBlob] = []
    end = len(view)
    if offset + _FILE_HEADER.size > end:
        return blobs, []
    signature, header_size, _ = _FILE_HEADER.unpack_from(view, offset)
    if signature != _SIGNATURE:
        return blobs, []
    if not _FILE_HEADER.size <= header_size <= _LARGEST_BLOB_HEADER:
        return blobs, [f"The tagged data is lost: its header says that it is 0x{header_size:x} bytes long."]
    offset += header_size
    while offset + _BLOB.size <= end:
        size, first, second, third, rest, data_size, before, after = _BLOB.unpack_from(view, offset)
        if not size:
            return blobs, []
        if not _BLOB.size <= size <= _LARGEST_BLOB_HEADER:
            return blobs, [f"The tagged data is damaged behind its piece {len(blobs)} (file offset 0x{offset:x})."]
        data = offset + size + before
        available = max(0, min(data_size, end - data))
        guid = f"{first:08x}-{second:04x}-{third:04x}-{rest[:2].hex()}-{rest[2:].hex()}"
        blobs.append(TaggedBlob(guid, data, data_size, available))
        if available < data_size:
            return blobs, [f"The tagged data is cut: its piece {{{guid}}} has {available} of {data_size} bytes."]
        offset = data + data_size + after
    return blobs, []
