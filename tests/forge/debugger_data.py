"""KDDEBUGGER_DATA64 for made-up kernels: the members that readers use, at their places in wdbgexts.h."""

from __future__ import annotations

from struct import iter_unpack, pack_into

_U64 = 0xFFFF_FFFF_FFFF_FFFF
#: Member -> (offset, struct format).
MEMBERS = {
    "KernBase": (0x18, "<Q"),
    "PsLoadedModuleList": (0x48, "<Q"),
    "NtBuildLab": (0x208, "<Q"),
    "KiProcessorBlock": (0x218, "<Q"),
    "MmUnloadedDrivers": (0x220, "<Q"),
    "MmLastUnloadedDriver": (0x228, "<Q"),
    "CmNtCSDVersion": (0x268, "<Q"),
    "OffsetKThreadApcProcess": (0x2A0, "<H"),
    "SizeEProcess": (0x2A8, "<H"),
    "SizePrcb": (0x2B0, "<H"),
    "OffsetPrcbCurrentThread": (0x2B4, "<H"),
    "OffsetPrcbProcStateContext": (0x2BC, "<H"),
    "OffsetPrcbNumber": (0x2BE, "<H"),
    "SizeEThread": (0x2C0, "<H"),
    "OffsetPrcbProcStateSpecialReg": (0x2F2, "<H"),
    "OffsetPrcbContext": (0x338, "<H"),
    "PteBase": (0x360, "<Q"),
}

#: What a made-up kernel's structures look like: small ones, so that dumps stay small.
LAYOUT = {
    "OffsetKThreadApcProcess": 0xB8,
    "SizeEProcess": 0x180,
    "SizePrcb": 0x800,
    "OffsetPrcbCurrentThread": 0x8,
    "OffsetPrcbProcStateContext": 0x1F0,
    "OffsetPrcbNumber": 0x24,
    "SizeEThread": 0x200,
    "OffsetPrcbProcStateSpecialReg": 0x100,
    "OffsetPrcbContext": 0x6C0,
}

#: The block of Windows 10 from RS5 on.
SIZE = 0x380


def build_debugger_data(size: int = SIZE, tag: bytes = b"KDBG", **members: int) -> bytes:
    """A block with `members` over `LAYOUT`; all others are 0."""
    block = bytearray(max(size, SIZE))
    block[0x10:0x14] = tag
    pack_into("<I", block, 0x14, size)
    for name, value in {**LAYOUT, **members}.items():
        offset, layout = MEMBERS[name]
        pack_into(layout, block, offset, value)
    return bytes(block[:size])


def encoded_block(block: bytes, never: int, always: int, place: int) -> bytes:
    """A block as a running kernel keeps it: each 8 bytes mixed with KiWaitNever, KiWaitAlways and the address of
    KdpDataBlockEncoded, the inverse of what public descriptions of the decoding do.
    """
    shift, mixed = never & 0x3F, bytearray()
    for (word,) in iter_unpack("<Q", block):
        value = int.from_bytes((word ^ always).to_bytes(8, "little"), "big") ^ place
        mixed += (((value >> shift | value << (64 - shift)) & _U64) ^ never).to_bytes(8, "little")
    return bytes(mixed)
