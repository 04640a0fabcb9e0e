"""Whether a call instruction ends at an address: the test that a value on a stack is a return address.

Looks at the bytes before the address only, without a disassembler, so that a scan of a whole stack
is cheap. Encodings: Intel SDM volume 2, CALL; Arm ARM, BL, BLR and BLRAA.
"""

from __future__ import annotations

from dumpkit.memory import AddressSpace
from dumpkit.named_tuple import NamedTuple
from dumpkit.registers import X64, Architecture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

#: Bytes before the return address that are worth reading.
MAX_CALL_SIZE = 9

_U64 = 0xFFFF_FFFF_FFFF_FFFF

#: Where a direct call and one through a register are both possible, the direct one is believed up to this
#: distance: import optimization makes calls between images direct, but images are closer together than that.
_FAR = 0x2000_0000

#: REX prefixes that mean something to an indirect call: B and X choose registers, W marks an import call (48 FF 15).
_REX = frozenset(b"\x41\x42\x43\x48\x49\x4a\x4b")
#: Other prefixes that compilers put before one: notrack, gs and bnd.
_CALL_PREFIXES = frozenset(b"\x3e\x65\xf2")


class CallSite(NamedTuple):
    """The call instruction that ends at a return address."""

    #: Length in bytes, prefixes included.
    size: int
    #: Virtual address called by a direct call, else None.
    target: Optional[int] = None
    #: Virtual address of the cell that a call through `[rip+x]` reads its target from (an import), else None.
    pointer: Optional[int] = None


def call_site(architecture: Architecture, code: bytes, return_address: int) -> Optional[CallSite]:
    """The call that ends exactly at the virtual `return_address`, or None.

    `code` is what stands right before the address: MAX_CALL_SIZE bytes, or as many as there are.
    """
    if architecture.name == "x64":
        return _x64_call_site(code, return_address)
    return _arm64_call_site(code, return_address)


def call_before(memory: AddressSpace, address: int, architecture: Architecture = X64) -> Optional[bool]:
    """Whether a call ends at the virtual `address`; None where the bytes before it are not there to tell."""
    code = memory.read_optional(address - MAX_CALL_SIZE, MAX_CALL_SIZE)
    missing = 0
    while code is None and missing < MAX_CALL_SIZE - 2:
        missing += 1
        code = memory.read_optional(address - MAX_CALL_SIZE + missing, MAX_CALL_SIZE - missing)
    if code is not None and call_site(architecture, code, address) is not None:
        return True
    return None if missing else False


def _x64_call_site(code: bytes, return_address: int) -> Optional[CallSite]:
    direct: Optional[CallSite] = None
    if len(code) >= 5 and code[-5] == 0xE8:
        distance = int.from_bytes(code[-4:], "little", signed=True)
        direct = CallSite(5, (return_address + distance) & _U64)
        if abs(distance) < _FAR:
            return direct
    return _indirect_call_site(code, return_address) or direct


def _indirect_call_site(code: bytes, return_address: int) -> Optional[CallSite]:
    """FF /2, whose length its ModRM and SIB bytes tell."""
    for size in range(min(len(code), 7), 1, -1):
        if code[-size] != 0xFF:
            continue
        modrm = code[1 - size]
        if modrm & 0x38 != 0x10 or _indirect_size(modrm, code[2 - size] if size > 2 else 0) != size:
            continue
        pointer: Optional[int] = None
        if modrm == 0x15:
            pointer = (return_address + int.from_bytes(code[-4:], "little", signed=True)) & _U64
        return CallSite(size + _prefix_size(code[:-size]), None, pointer)
    return None


def _indirect_size(modrm: int, sib: int) -> int:
    """Bytes of opcode, ModRM, SIB and displacement."""
    mode, register = modrm >> 6, modrm & 7
    if mode == 3:
        return 2
    size = 2
    if register == 4:
        size += 1
        register = sib & 7
    if mode == 0:
        return size + (4 if register == 5 else 0)
    return size + (1 if mode == 1 else 4)


def _prefix_size(before: bytes) -> int:
    """Bytes of prefixes at the end of `before`: at most one REX and one other."""
    size = 1 if before[-1:] and before[-1] in _REX else 0
    rest = before[: len(before) - size]
    return size + (1 if rest[-1:] and rest[-1] in _CALL_PREFIXES else 0)


def _arm64_call_site(code: bytes, return_address: int) -> Optional[CallSite]:
    if len(code) < 4 or return_address & 3:
        return None
    word = int.from_bytes(code[-4:], "little")
    if word >> 26 == 0b100101:
        words = word & 0x3FF_FFFF
        distance = 4 * (words - ((words & 0x200_0000) << 1))
        return CallSite(4, (return_address - 4 + distance) & _U64)
    if word & 0xFFFF_FC1F == 0xD63F_0000 or word & 0xFEFF_F800 == 0xD63F_0800:
        return CallSite(4)
    return None
