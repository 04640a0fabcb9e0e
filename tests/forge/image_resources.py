"""A version resource: VS_VERSIONINFO and the resource tree around it (verrsrc.h, "PE Format")."""

from __future__ import annotations

from struct import pack
from typing import Mapping, NamedTuple, Tuple

_RT_VERSION = 16


class Version(NamedTuple):
    """File and product version, and what the strings say ("FileDescription", …)."""

    file: Tuple[int, int, int, int]
    strings: Mapping[str, str] = {}
    product: Tuple[int, int, int, int] = (0, 0, 0, 0)
    language: int = 0x409
    #: VFT_*: 3 is a driver, 2 a library, 1 a program.
    kind: int = 3


def resource_section(version: Version, rva: int) -> bytes:
    """The contents of `.rsrc`, to lie at `rva`: one version resource, number 1, in one language."""
    info = version_info(version)
    tree = b""
    for level, number in enumerate((_RT_VERSION, 1, version.language)):
        following = 24 * (level + 1)
        tree += pack("<IIHHHH", 0, 0, 0, 0, 0, 1) + pack("<II", number, following | (0x8000_0000 if level < 2 else 0))
    return tree + pack("<IIII", rva + len(tree) + 16, len(info), 0, 0) + info


def version_info(version: Version) -> bytes:
    """VS_VERSIONINFO."""
    high, low = pack_version(version.file)
    product = pack_version(version.product if any(version.product) else version.file)
    fixed = pack("<IIIIIIIIIIIII", 0xFEEF04BD, 0x10000, high, low, *product, 0x3F, 0, 0x40004, version.kind, 7, 0, 0)
    strings = b"".join(
        _padded(_block(name, value.encode("utf-16-le") + b"\0\0", is_text=True))
        for name, value in version.strings.items()
    )
    table = _block(f"{version.language:04x}04b0", b"", is_text=True, children=strings)
    string_info = _block("StringFileInfo", b"", is_text=True, children=table)
    translation = _block("Translation", pack("<HH", version.language, 0x4B0))
    var_info = _block("VarFileInfo", b"", is_text=True, children=translation)
    return _block("VS_VERSION_INFO", fixed, children=_padded(string_info) + var_info)


def pack_version(version: Tuple[int, int, int, int]) -> Tuple[int, int]:
    """The two halves of a version number, the high one first."""
    return version[0] << 16 | version[1], version[2] << 16 | version[3]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _block(key: str, value: bytes, is_text: bool = False, children: bytes = b"") -> bytes:
    """A node: its length, the value's (in characters for text), whether it is text, key, value, children."""
    head = _padded(bytes(6) + key.encode("utf-16-le") + b"\0\0")
    body = head + (_padded(value) if children else value) + children
    length = len(value) // 2 if is_text else len(value)
    return pack("<HHH", len(body), length, int(is_text)) + body[6:]
