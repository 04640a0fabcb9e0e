"""Pages of the pool before the segment heap (until Windows 10 1809): POOL_HEADERs that lead to one another.

Each header has its block's size and that of the one before, so a page is a chain both ways from its start to its
end; a free block of two units or more has a LIST_ENTRY in a list of its POOL_DESCRIPTOR behind the header. Source:
the public symbols, Windows Internals, public analyses of the pool ("Kernel Pool Exploitation on Windows 7").
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError
from dumpkit.kernel.pool.block import CLASSIC, PAGE, Block
from dumpkit.kernel.pool.header import PoolHeader, PoolHeaders
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Tuple


class Corruption(NamedTuple):
    """What is wrong with the chain of a page, at the header at the virtual address `address`."""

    address: int
    #: "zero", "too large", "previous size" or "missing".
    kind: str
    #: PreviousSize as it is and as it should be, in bytes, for "previous size"; else BlockSize and 0.
    found: int
    expected: int
    #: The next header that leads to the end of the page, or the page's end.
    resumes: int
    #: Why memory is missing, for "missing".
    reason: str = ""

    def __str__(self) -> str:
        words = {
            "zero": "its block size is zero",
            "too large": f"its block of {self.found:#x} bytes is too large for the page",
            "previous size": f"its previous size is {self.found:#x}, the block before has {self.expected:#x}",
            "missing": f"it cannot be read: {self.reason}",
        }
        return f"the POOL_HEADER at {self.address:016x}: {words[self.kind]}"


class ClassicPage(NamedTuple):
    """The blocks of a page as far as its chain is sound, and where it is not."""

    blocks: Tuple[Block, ...]
    corruption: Optional[Corruption]


class ClassicPool:
    """Reads pages of the classic pool. Raises SymbolError where POOL_HEADER is not known."""

    def __init__(self, target: Target, headers: PoolHeaders) -> None:
        self._memory = target.memory
        self._headers = headers

    def page(self, page: int) -> ClassicPage:
        """The blocks of a page. Raises MemoryReadError where its start is not there."""
        data = self._memory.read_prefix(page, PAGE)
        if len(data) < self._headers.unit:
            raise MemoryReadError(page + len(data), self._memory.explain(page + len(data)))
        blocks: List[Block] = []
        corruption = self._walk(page, data, 0, 0, blocks)
        if corruption is None:
            return ClassicPage(tuple(blocks), None)
        place = corruption.resumes - page
        if place < PAGE:
            problem = "damaged"
            blocks.append(
                Block(
                    CLASSIC,
                    corruption.address,
                    corruption.address,
                    corruption.resumes,
                    place - (corruption.address - page),
                    None,
                    problems=(problem, str(corruption)),
                )
            )
            header = self._headers.parse(data, place, corruption.resumes)
            self._walk(page, data, place, header.previous_size, blocks)
        return ClassicPage(tuple(blocks), corruption)

    def _walk(self, page: int, data: bytes, at: int, previous: int, blocks: List[Block]) -> Optional[Corruption]:
        """Follow the chain from an offset to the page's end; what stops it."""
        while at < PAGE:
            if at + self._headers.unit > len(data):
                reason = self._memory.explain(page + len(data))
                return Corruption(page + at, "missing", 0, 0, page + PAGE, reason)
            header = self._headers.parse(data, at, page + at)
            kind = self._fault(header, at, previous)
            if kind is not None:
                values = (header.previous_size, previous) if kind == "previous size" else (header.size, 0)
                return Corruption(page + at, kind, values[0], values[1], page + self._resume(data, at))
            blocks.append(self._block(header))
            at, previous = at + header.size, header.size
        return None

    @staticmethod
    def _fault(header: PoolHeader, at: int, previous: int) -> Optional[str]:
        if not header.size:
            return "zero"
        if at + header.size > PAGE:
            return "too large"
        return "previous size" if header.previous_size != previous else None

    def _resume(self, data: bytes, bad: int) -> int:
        """The first offset behind a bad header from which the chain leads to the end of the page."""
        unit = self._headers.unit
        for start in range(bad + unit, len(data) - unit + 1, unit):
            header = self._headers.parse(data, start, 0)
            if unit <= header.previous_size <= start and self._reaches_end(data, start, header.previous_size):
                return start
        return PAGE

    def is_sound(self, data: bytes) -> bool:
        """Whether the headers in a page's bytes lead from its start to its end and back."""
        return self._reaches_end(data, 0, 0)

    def _reaches_end(self, data: bytes, at: int, previous: int) -> bool:
        while at + self._headers.unit <= len(data):
            header = self._headers.parse(data, at, 0)
            if self._fault(header, at, previous) is not None:
                return False
            at, previous = at + header.size, header.size
        return at == PAGE

    def _block(self, header: PoolHeader) -> Block:
        evidence: Tuple[str, ...] = ()
        problems: Tuple[str, ...] = ()
        allocated = header.pool_type != 0
        data: Optional[int] = header.address + self._headers.unit
        if not allocated:
            data = None
            linked = self._is_linked(header)
            if linked:
                evidence = ("it is in a list of free blocks",)
            elif linked is not None:
                problems = ("its links to the list of free blocks are broken",)
        return Block(
            CLASSIC,
            header.address,
            header.address,
            header.address + header.size,
            header.size,
            allocated,
            header.tag,
            header.previous_size,
            header.pool_type,
            self._headers.process(header) if allocated else None,
            data,
            evidence,
            problems,
        )

    def _is_linked(self, header: PoolHeader) -> Optional[bool]:
        """Whether a free block's neighbours in its list lead back to it; None where that cannot be told."""
        if header.size < 2 * self._headers.unit:
            return None
        entry = header.address + self._headers.unit
        try:
            forward, back = self._memory.u64(entry), self._memory.u64(entry + 8)
            # LIST_ENTRY: Flink, Blink.
            answers = self._memory.u64(forward + 8 & U64_MASK), self._memory.u64(back)
        except MemoryReadError:
            return None
        return answers == (entry, entry)
