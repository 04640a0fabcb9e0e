"""Writes the smallest PDB that has an identity: an MSF container with an info and a DBI stream."""

from __future__ import annotations

from struct import pack

PAGE = 512
GUID = "112233445566778899AABBCCDDEEFF00"


def pdb(guid: str = GUID, age: int = 1, size: int = 0, info_age: int = 7) -> bytes:
    """`age` is the DBI stream's, `size` the bytes of padding behind the streams."""
    raw = bytes.fromhex(guid)
    info = pack("<III", 20000404, 0x5F000001, info_age) + raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]
    info += pack("<IIIIII", 0, 0, 0, 0, 0, 0)
    dbi = pack("<iII", -1, 19990903, age) + pack(
        "<6H7iI2HI", 0xFFFF, 0, 0xFFFF, 0, 0xFFFF, 0, *[0] * 7, 0, 0, 0x8664, 0
    )
    streams = [b"", info, b"", dbi]
    pages, page_lists = [], []
    number = 4
    for stream in streams:
        count = -(-len(stream) // PAGE)
        page_lists.append(list(range(number, number + count)))
        pages.append(stream.ljust(count * PAGE, b"\0"))
        number += count
    directory = pack(f"<{1 + len(streams)}I", len(streams), *(len(stream) for stream in streams))
    directory += b"".join(pack(f"<{len(numbers)}I", *numbers) for numbers in page_lists)
    padding = bytes(index * 7 & 0xFF for index in range(256)) * (size // 256 + 1)
    # Pages 1 and 2 are free page maps; page 3 says where the directory lies: behind everything else.
    filler = -(-size // PAGE)
    directory_page = number + filler
    head = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0" + pack("<6I", PAGE, 1, directory_page + 1, len(directory), 0, 3)
    index = pack("<I", directory_page).ljust(PAGE, b"\0")
    padding = bytes(at * 7 & 0xFF for at in range(256)) * (filler * PAGE // 256)
    return head.ljust(PAGE, b"\0") + bytes(PAGE * 2) + index + b"".join(pages) + padding + directory.ljust(PAGE, b"\0")
