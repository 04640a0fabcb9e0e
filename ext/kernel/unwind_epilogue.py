"""Epilogues as the x64 calling convention allows them, read from their bytes.

Microsoft's "x64 prolog and epilog": the frame is given back by `add rsp` or by `lea rsp` from the frame register,
registers are popped, and a return or a jump ends it. Whoever stands in one has part of that behind him already.
"""

from __future__ import annotations

from struct import unpack_from

from dumpkit.kernel.unwind_info import REGISTERS
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple

#: No epilogue is longer: `lea rsp` with 32-bit displacement, 15 pops, and `bnd jmp [rip+x]`.
LONGEST = 48

RETURN = "ret"
JUMP = "jmp"
INTERRUPT_RETURN = "iretq"


class Epilogue(NamedTuple):
    """What is left to do from some instruction of an epilogue on."""

    #: Bytes that `add rsp` gives back.
    added: int
    #: The register that `lea rsp` takes the stack pointer from, and the displacement; None where there is none.
    base: Optional[str]
    displacement: int
    #: Registers popped, in order.
    pops: List[str]
    #: One of the ways above to end.
    ending: str
    #: Where a direct jump leads, in bytes from the epilogue's first byte here; None for other endings.
    jump: Optional[int] = None


def read_epilogue(code: bytes) -> Optional[Epilogue]:
    """The epilogue that code begins in the middle of, or None where it is something else."""
    added, base, displacement, at = _give_back(code)
    pops: List[str] = []
    while True:
        if code[at : at + 1] and 0x58 <= code[at] <= 0x5F:
            pops.append(REGISTERS[code[at] - 0x58])
            at += 1
        elif len(code) > at + 1 and code[at] & 0xFE == 0x40 and 0x58 <= code[at + 1] <= 0x5F:
            pops.append(REGISTERS[code[at + 1] - 0x58 + 8 * (code[at] & 1)])
            at += 2
        else:
            break
    if "rsp" in pops:
        return None
    ending = code[at : at + 6]
    if ending[:1] in (b"\xc3", b"\xc2") or ending[:2] in (b"\xf3\xc3", b"\xf2\xc3"):
        return Epilogue(added, base, displacement, pops, RETURN)
    if ending[:2] == b"\x48\xcf" or ending[:5] == b"\x0f\x01\xf8\x48\xcf":
        return Epilogue(added, base, displacement, pops, INTERRUPT_RETURN)
    if ending[:1] == b"\xeb" and len(ending) > 1:
        return Epilogue(added, base, displacement, pops, JUMP, at + 2 + unpack_from("<b", ending, 1)[0])
    if ending[:1] == b"\xe9" and len(ending) > 4:
        return Epilogue(added, base, displacement, pops, JUMP, at + 5 + unpack_from("<i", ending, 1)[0])
    if _is_indirect_jump(ending):
        return Epilogue(added, base, displacement, pops, JUMP)
    return None


def _is_indirect_jump(code: bytes) -> bool:
    """jmp [rip+x], or any indirect jump with REX.W: the mark that compilers give to those that leave a function."""
    if code[:2] == b"\xff\x25":
        return True
    return len(code) > 2 and code[0] & 0xF8 == 0x48 and code[1] == 0xFF and code[2] & 0x38 == 0x20


def _give_back(code: bytes) -> Tuple[int, Optional[str], int, int]:
    """(bytes added to rsp, lea's register, its displacement, bytes of code) of the frame's giving back."""
    if code[:3] == b"\x48\x83\xc4" and len(code) > 3:
        return unpack_from("<b", code, 3)[0], None, 0, 4
    if code[:3] == b"\x48\x81\xc4" and len(code) > 6:
        return unpack_from("<i", code, 3)[0], None, 0, 7
    if len(code) > 3 and code[0] & 0xFE == 0x48 and code[1] == 0x8D and code[2] & 0x38 == 0x20:
        return _frame_address(code)
    return 0, None, 0, 0


def _frame_address(code: bytes) -> Tuple[int, Optional[str], int, int]:
    """As `_give_back`, for lea rsp,[register+displacement]."""
    register = (code[2] & 7) + 8 * (code[0] & 1)
    at = 3
    if register & 7 == 4:
        # rsp and r12 need a SIB byte: this one says that there is no index.
        if code[3] != 0x24:
            return 0, None, 0, 0
        at = 4
    mode = code[2] >> 6
    if mode == 1 and len(code) > at:
        return 0, REGISTERS[register], unpack_from("<b", code, at)[0], at + 1
    if mode == 2 and len(code) > at + 3:
        return 0, REGISTERS[register], unpack_from("<i", code, at)[0], at + 4
    if mode == 0 and register & 7 != 5:
        return 0, REGISTERS[register], 0, at
    return 0, None, 0, 0
