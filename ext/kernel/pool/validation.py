"""Whether the headers of a pool page are sound; where not, what would make them so.

Of a classic page the chain of POOL_HEADERs is checked, of a segment heap's page the headers of its chunks and blocks.
(The debugger's !poolval reads every page as a classic one, which no page of the segment heap is.)
"""

from __future__ import annotations

from dumpkit.errors import SymbolError
from dumpkit.kernel.pool.block import CLASSIC, PAGE, VS, Block
from dumpkit.kernel.pool.classic_pool import Corruption
from dumpkit.kernel.pool.pool_page import PoolPage
from dumpkit.kernel.pool.pools import Pools
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Tuple


class Fault(NamedTuple):
    """Something wrong at the virtual address `address`, up to `end` where a region is damaged (else the same)."""

    address: int
    end: int
    text: str


class BitError(NamedTuple):
    """A bit that, turned over, makes the headers agree: the byte's virtual address and the bit in it."""

    address: int
    bit: int


class Validation(NamedTuple):
    """What the check of a page found. `checked` is false where no allocator is known to have the page."""

    page: PoolPage
    checked: bool
    faults: Tuple[Fault, ...]
    bit_errors: Tuple[BitError, ...]

    @property
    def is_valid(self) -> bool:
        """Whether the page is pool and nothing is wrong with its headers."""
        return self.checked and not self.faults


def validate(pools: Pools, address: int) -> Validation:
    """Check the page of a virtual address. Raises SymbolError without the kernel's types."""
    page = pools.page(address)
    if page.corruption is not None:
        faults = tuple(_classic_faults(pools, page.corruption))
        return Validation(page, True, faults, tuple(_classic_bits(pools, page, page.corruption)))
    if page.allocator is None:
        return Validation(page, False, tuple(Fault(page.page, page.page, text) for text in page.problems), ())
    faults = tuple(_fault(block, problem) for block in page.blocks for problem in block.problems)
    bits = [bit for block in page.blocks for bit in _chunk_bits(pools, block)] if page.allocator == VS else []
    return Validation(page, True, faults, tuple(bits))


def _fault(block: Block, problem: str) -> Fault:
    return Fault(block.start, block.end if block.allocated is None else block.start, problem)


def _classic_faults(pools: Pools, corruption: Corruption) -> Iterator[Fault]:
    unit, place = pools.headers.unit, corruption.address
    if corruption.kind == "previous size":
        found, expected = corruption.found // unit, corruption.expected // unit
        text = f"invalid previous size [ {found:#x} ] should be [ {expected:#x} ]"
    elif corruption.kind == "missing":
        text = f"cannot be read: {corruption.reason}"
    else:
        text = f"invalid block size [ {corruption.found // unit:#x} ]"
    yield Fault(place, place, text)
    if corruption.kind != "missing" and corruption.resumes % PAGE:
        yield Fault(place, corruption.resumes, "Corrupt region")


def _classic_bits(pools: Pools, page: PoolPage, corruption: Corruption) -> Iterator[BitError]:
    """The bits of the damaged header, or of the one before it, that the whole page would be sound with."""
    data = pools.target.memory.read_optional(page.page, PAGE)
    if data is None:
        return
    before = [block.address for block in page.blocks if block.allocator == CLASSIC and block.end == corruption.address]
    for header in (*before, corruption.address):
        for byte in range(4):
            for bit in range(8):
                at = header - page.page + byte
                changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
                if pools.classic.is_sound(changed):
                    yield BitError(header + byte, bit)


def _chunk_bits(pools: Pools, block: Block) -> List[BitError]:
    """The bits of a damaged chunk header that its chunk would reach the next sound one with."""
    try:
        reader = pools.vs()
    except SymbolError:
        return []
    if reader is None or block.allocated is not None:
        return []
    chunk = reader.decode(block.start)
    if chunk is None:
        return []
    found = []
    for bit in range(64):
        repaired = reader.decoded(chunk.encoded ^ 1 << bit, block.start)
        following = reader.decode(block.end)
        agrees: Optional[bool] = following is not None and following.previous_size == repaired.size
        if repaired.allocated is not None and repaired.end == block.end and agrees:
            found.append(BitError(block.start + reader.bits_offset + bit // 8 & U64_MASK, bit % 8))
    return found
