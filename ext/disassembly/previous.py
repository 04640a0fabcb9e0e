"""The instructions before an address: what `ub` shows.

x64 instructions cannot be read backwards. The engine, when it is asked for n of them, starts 16 n
bytes before the address and takes the last n if its way through valid instructions ends exactly
there; else it takes the nearest start from which n instructions do. Where the start of the function
is known, decoding from there is right by construction.
"""

from __future__ import annotations

from dumpkit.disassembly.instruction import Instruction, SymbolNames
from dumpkit.disassembly.masm import LEGACY_PREFIXES
from dumpkit.memory import AddressSpace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional

    from dumpkit.disassembly import Disassembler

_BYTES_PER_INSTRUCTION = 16
#: A function start farther away than this is not decoded from.
_FARTHEST_START = 0x40000


def previous_instructions(
    disassembler: Disassembler,
    memory: AddressSpace,
    address: int,
    count: int,
    function_start: Optional[int] = None,
    symbols: Optional[SymbolNames] = None,
) -> List[Instruction]:
    """The `count` instructions that end exactly at the virtual `address`, lowest address first.

    Fewer where the readable memory before `address` does not hold that many in a row (the engine
    shows none then and says "Unable to find valid previous instruction").
    """
    if count <= 0:
        return []
    found: List[Instruction] = []
    if function_start is not None and 0 < address - function_start <= _FARTHEST_START:
        found = _forward(disassembler, memory, function_start, address, symbols)[-count:]
        if found:
            address = function_start
    missing = count - len(found)
    if missing:
        found = _backward(disassembler, memory, address, missing, symbols) + found
    return found


def _forward(
    disassembler: Disassembler, memory: AddressSpace, start: int, end: int, symbols: Optional[SymbolNames]
) -> List[Instruction]:
    """All instructions from `start` on if they end exactly at `end`, else none."""
    code = memory.read_optional(start, end - start)
    if code is None:
        return []
    found: List[Instruction] = []
    at = 0
    while at < len(code):
        instruction = disassembler.decode(code[at : at + disassembler.max_size], start + at, symbols)
        if not instruction.size or not instruction.is_valid:
            return []
        found.append(instruction)
        at += instruction.size
    return found


def _backward(
    disassembler: Disassembler, memory: AddressSpace, end: int, count: int, symbols: Optional[SymbolNames]
) -> List[Instruction]:
    farthest = _BYTES_PER_INSTRUCTION * count if disassembler.max_size > 4 else 4 * count
    code = _readable_before(memory, end, farthest)
    start = len(code) % 4 if disassembler.max_size <= 4 else _start(disassembler, code, end, count, farthest)
    found: List[Instruction] = []
    while start < len(code):
        instruction = disassembler.decode(code[start : start + disassembler.max_size], end - len(code) + start, symbols)
        found.append(instruction)
        start += instruction.size
    return found[-count:]


def _readable_before(memory: AddressSpace, end: int, size: int) -> bytes:
    """Up to `size` bytes that end at `end`, without a hole."""
    last = b""
    start = max(end - size, 0)
    for at, data in memory.extents(start, end - start):
        last = data if at + len(data) == end else b""
    return last


def _start(disassembler: Disassembler, code: bytes, end: int, count: int, farthest: int) -> int:
    """Offset in `code`, which ends at the virtual address `end`, at which to begin; len(code) where nowhere."""
    base = end - len(code)
    #: Number of instructions from an offset to the end, where they end exactly there.
    chains: Dict[int, int] = {len(code): 0}
    for at in range(len(code) - 1, -1, -1):
        window = code[at : at + disassembler.max_size]
        length = disassembler.length(window, base + at)
        behind = chains.get(at + length) if length and _is_plausible(window) else None
        if behind is not None:
            chains[at] = behind + 1
    if len(code) == farthest and chains.get(0, 0) >= count:
        return 0
    for at in range(len(code) - 1, -1, -1):
        if chains.get(at, 0) >= count:
            return at
    return max(chains, key=lambda at: (chains[at], at))


def _is_plausible(code: bytes) -> bool:
    """Whether an instruction is one that the engine reads: not int1, and no prefix behind a REX prefix."""
    first = code[0]
    if first == 0xF1:
        return False
    at = 0
    while at < len(code) - 1 and code[at] in LEGACY_PREFIXES:
        at += 1
    if code[at] & 0xF0 != 0x40 or at + 1 >= len(code):
        return True
    return code[at + 1] & 0xF0 != 0x40 and code[at + 1] not in LEGACY_PREFIXES
