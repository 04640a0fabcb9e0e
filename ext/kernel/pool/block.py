"""What the readers of all allocators give: blocks of a page, and whose they are."""

from __future__ import annotations

from dumpkit.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Tuple

PAGE = 0x1000

#: Which allocator a block is of.
VS, LFH, BIG, LARGE, CLASSIC, SPECIAL = "VS", "LFH", "big", "large", "classic", "special"


class Block(NamedTuple):
    """A piece of a pool, allocated, free or damaged. Addresses are virtual, sizes bytes."""

    #: VS, LFH, BIG, LARGE, CLASSIC or SPECIAL.
    allocator: str
    #: The address that the debugger shows: of the POOL_HEADER, of a free VS chunk's header, of a header-less block.
    address: int
    #: All that the block takes, [start, end): an address in there is in the block.
    start: int
    end: int
    #: As the debugger shows it: what the POOL_HEADER says, else what the allocator does.
    size: int
    #: None where damage or a missing page hides it.
    allocated: Optional[bool]
    #: The tag's four bytes as a number; of a free block whatever stands where the debugger looks for it.
    tag: Optional[int] = None
    previous_size: int = 0
    #: PoolType of the header or of the tracker's entry.
    pool_type: Optional[int] = None
    #: The EPROCESS whose quota was charged.
    process: Optional[int] = None
    #: Where the caller's data begins.
    data: Optional[int] = None
    #: What the answer rests on, and what is wrong or missing, one clause each.
    evidence: Tuple[str, ...] = ()
    problems: Tuple[str, ...] = ()

    def holds(self, address: int) -> bool:
        """Whether an address is in the block."""
        return self.start <= address < self.end


def tag_text(tag: int) -> str:
    """A tag as four characters, dots for what cannot be printed."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in (tag & 0xFFFF_FFFF).to_bytes(4, "little"))
