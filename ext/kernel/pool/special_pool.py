"""Special pool: an allocation in a page of its own, so that writing beyond it faults.

The page's POOL_HEADER holds the size that was asked for in its first word, with a bit for paged memory, and the byte
that fills the rest of the page in BlockSize; it stands at the start of the page when the data ends with the page
(overruns are caught), at the end when the data begins it (underruns). Source: ReactOS's special pool, which follows
Windows Server 2003's, and public debugger transcripts of Windows 11.
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError
from dumpkit.kernel.pool.block import PAGE, SPECIAL, Block
from dumpkit.kernel.pool.header import PoolHeaders, field
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

_SIZE_MASK = 0x1FFF
_PAGED = 0x8000
_ALIGNMENTS = (16, 8)


class _Parts(NamedTuple):
    """What a header of special pool says: bytes asked for, whether they are paged, the byte that fills the rest."""

    size: int
    paged: bool
    fill: int
    tag: int


class SpecialPool:
    """Reads pages of special pool. Raises SymbolError where POOL_HEADER is not known."""

    def __init__(self, target: Target, headers: PoolHeaders) -> None:
        type = target.type("_POOL_HEADER")
        self._memory = target.memory
        self._unit = headers.unit
        self._word = field(type, "Ulong1")
        self._fill = field(type, "BlockSize")
        self._tag = field(type, "PoolTag")

    def block(self, page: int, paged: Optional[bool] = None) -> Block:
        """The block of a page. `paged` is what else is known of it. Raises MemoryReadError where it is not there."""
        data = self._memory.read(page, PAGE)
        overruns = self._parts(data, 0)
        if overruns is not None:
            return self._make(page, data, overruns, self._data_offset(data, overruns), paged)
        underruns = self._parts(data, PAGE - self._unit)
        if underruns is not None:
            return self._make(page, data, underruns, 0, paged)
        problem = "neither end of the page has a header of special pool: it was freed or is damaged"
        return Block(SPECIAL, page, page, page + PAGE, PAGE, None, problems=(problem,))

    def _parts(self, data: bytes, at: int) -> Optional[_Parts]:
        word, tag = self._word.of(data, at), self._tag.of(data, at)
        size = word & _SIZE_MASK
        if not 0 < size <= PAGE - self._unit or not tag:
            return None
        return _Parts(size, bool(word & _PAGED), self._fill.of(data, at), tag)

    def _data_offset(self, data: bytes, parts: _Parts) -> int:
        """Where the data begins so that it ends with the page: aligned so that what is in front of it is filling."""
        coarse, fine = [PAGE - parts.size & -alignment for alignment in _ALIGNMENTS]
        if coarse != fine and data[coarse:fine] == bytes([parts.fill]) * (fine - coarse):
            return fine
        return coarse

    def _make(self, page: int, data: bytes, parts: _Parts, offset: int, paged: Optional[bool]) -> Block:
        problems: List[str] = []
        front, behind = data[self._unit : offset], data[offset + parts.size :]
        if not offset:
            front, behind = b"", data[parts.size : PAGE - self._unit]
        # Filling is only held against the byte in the header where most of it is that byte.
        filling = front + behind
        if filling.count(parts.fill) * 2 > len(filling):
            if behind.strip(bytes([parts.fill])):
                problems.append("bytes behind its data were overwritten")
            if front.strip(bytes([parts.fill])):
                problems.append("bytes in front of its data were overwritten")
        kind = parts.paged if paged is None else paged
        start = page + offset
        return Block(
            SPECIAL,
            page,
            page,
            page + PAGE,
            parts.size,
            True,
            parts.tag,
            pool_type=int(kind),
            data=start,
            evidence=(f"a special pool header at {page if offset else page + PAGE - self._unit:016x}",),
            problems=tuple(problems),
        )


def unreadable(error: MemoryReadError, page: int, freed: bool) -> Block:
    """The block of a page that is not there: freed, where the heap or the fault says so."""
    problem = f"the page cannot be read: {error.reason}"
    return Block(SPECIAL, page, page, page + PAGE, PAGE, False if freed else None, problems=(problem,))
