"""`poolfind`: every allocation of a tag."""

from __future__ import annotations

from dumpkit.commands.pool import entry_line
from dumpkit.commands.poolused import wanted_tag
from dumpkit.errors import CommandError
from dumpkit.kernel.pool.block import LARGE, Block, tag_text
from dumpkit.kernel.pool.header import PROTECTED
from dumpkit.kernel.pool.pools import pools_of
from dumpkit.kernel.pool.search import NONPAGED_ONLY, PAGED_ONLY, SPECIAL_ONLY, FoundBlock, TagSearch
from dumpkit.kernel.pool.tags import fits
from dumpkit.output import Hex, Line
from dumpkit.record import Record
from dumpkit.registry import Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Tuple

_WORDS = {NONPAGED_ONLY: "NonPaged", PAGED_ONLY: "Paged", SPECIAL_ONLY: "Special"}


class FoundAllocation(Record):
    """An allocation of the tag. Addresses are virtual, sizes bytes; `guessed` where nothing confirms its header."""

    address: Hex
    size: int
    tag: str
    allocated: Optional[bool]
    allocator: str
    guessed: bool


class PoolFound(Record):
    """What `poolfind` found."""

    tag: str
    pool_type: int
    #: PoolBigPageTable and the address ranges of this kind of pool, [start, end).
    table: Tuple[Hex, Hex]
    ranges: Tuple[Tuple[Hex, Hex], ...]
    allocations: Tuple[FoundAllocation, ...]
    problems: Tuple[str, ...]
    _big: Tuple[Block, ...] = ()
    _blocks: Tuple[FoundBlock, ...] = ()


def poolfind_lines(result: PoolFound) -> Iterator[Line]:
    start, end = result.table
    yield ""
    yield f"Scanning large pool allocation table for Tag: {result.tag} ({start:016x} : {end:016x})"
    yield ""
    for block in result._big:
        yield entry_line(block, " ")
    rest: List[FoundBlock] = list(result._blocks)
    if result._big:
        yield ""
    words = _WORDS[result.pool_type]
    for first, last in result.ranges:
        yield f"Searching {words} pool ({first:016x} : {last:016x}) for Tag: {result.tag}"
        yield ""
        within = [found for found in rest if first <= found.block.address < last]
        yield from _found_lines(within)
        rest = [found for found in rest if found not in within]
    if rest or not result.ranges:
        yield f"Searching {words} pool for Tag: {result.tag}"
        yield ""
        yield from _found_lines(rest)
    yield from result.problems


def _found_lines(blocks: Sequence[FoundBlock]) -> Iterator[Line]:
    for found in blocks:
        yield _found_line(found)
    if blocks:
        yield ""


def _found_line(found: FoundBlock) -> Line:
    line = entry_line(found.block, " ")
    return (*line, "  (by its header alone)") if found.guessed else line


def _arguments(text: str) -> Tuple[str, int]:
    """The tag and the kind of pool of a call: the kind is a last word of one digit behind the tag."""
    tag, gap, last = text.rstrip().rpartition(" ")
    if not gap or len(last) != 1 or not last.isdigit() or not tag.strip():
        return text.rstrip("\r\n"), NONPAGED_ONLY
    if int(last) not in _WORDS:
        raise CommandError(f"poolfind: pool type {last} is not searched: 0 nonpaged, 1 paged, 2 special")
    return tag, int(last)


def _pattern(text: str) -> str:
    if text.startswith("0x"):
        try:
            return tag_text(int(text, 16) & ~PROTECTED)
        except ValueError:
            raise CommandError(f"poolfind: '{text}' is no tag's value") from None
    pattern = wanted_tag("poolfind", text)
    if pattern is None:
        raise CommandError("poolfind: TAG is missing", "poolfind TAG [POOLTYPE]")
    return pattern


@command(
    "poolfind",
    category="Kernel",
    summary="Every allocation of a pool tag",
    arguments=(
        Text("query", "TAG [POOLTYPE]: four characters or 0xVALUE; 0 nonpaged, 1 paged, 2 special", True, "nothing"),
    ),
    render=poolfind_lines,
)
def poolfind(session: Session, query: str) -> PoolFound:
    """Finds the allocations of a tag: in the table of big pages, then in every block of one kind of pool.

    Case counts; ? in a tag is one character, * any number; a shorter tag ends in spaces. The kind of pool is
    0 (nonpaged, where nothing is said), 1 (paged) or 2 (special).

    Where the pool's heaps are not in the dump, what memory there is is searched for pool headers; such lines
    say so: nothing confirms them.
    """
    text, pool_type = _arguments(query)
    pattern = _pattern(text)
    search = TagSearch(pools_of(session.dump), lambda tag: fits(tag, pattern), pool_type)
    big = tuple(
        Block(LARGE, entry.address, entry.address, entry.address + entry.size, entry.size, True, entry.tag)
        for entry in search.big()
    )
    blocks = tuple(sorted(search.blocks(), key=lambda found: found.block.address))
    start, end = search.table
    return PoolFound(
        pattern.rstrip() if len(pattern.rstrip()) > 3 else pattern,
        pool_type,
        (Hex(start), Hex(end)),
        tuple((Hex(first), Hex(last)) for first, last in search.ranges()),
        tuple(_data(block, False) for block in big) + tuple(_data(found.block, found.guessed) for found in blocks),
        tuple(dict.fromkeys(search.problems)),
        big,
        blocks,
    )


def _data(block: Block, guessed: bool) -> FoundAllocation:
    tag = tag_text((block.tag or 0) & ~PROTECTED)
    return FoundAllocation(Hex(block.address), block.size, tag, block.allocated, block.allocator, guessed)
