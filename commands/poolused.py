"""`poolused`: how much pool each tag has."""

from __future__ import annotations

from dumpkit.errors import CommandError, MemoryReadError
from dumpkit.kernel.pool.block import tag_text
from dumpkit.kernel.pool.header import PROTECTED
from dumpkit.kernel.pool.tags import PoolTags, fits
from dumpkit.kernel.pool.tracker import TagUse, pool_use, sort_key
from dumpkit.output import Line, Span
from dumpkit.record import Record
from dumpkit.registry import Expression, Text, command
from dumpkit.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

_VERBOSE, _BY_NONPAGED, _BY_PAGED, _SESSION = 1, 2, 4, 8


class TagRow(Record):
    """What a tag has: allocations that are not freed, and their bytes."""

    tag: str
    nonpaged_allocations: int
    nonpaged_bytes: int
    paged_allocations: int
    paged_bytes: int
    description: Optional[str]
    binary: Optional[str]
    _use: Optional[TagUse] = None


class PoolUsed(Record):
    """What `poolused` found. `order` is "tag", "nonpaged" or "paged"."""

    order: str
    tags: Tuple[TagRow, ...]
    nonpaged_allocations: int
    nonpaged_bytes: int
    paged_allocations: int
    paged_bytes: int
    problems: Tuple[str, ...]
    _flags: int = 0


def _described(row: TagRow) -> str:
    if row.description is None:
        return f"UNKNOWN pooltag '{row.tag}', please update pooltag.txt"
    return f"{row.description} , Binary: {row.binary}" if row.binary else f"{row.description} "


def poolused_lines(result: PoolUsed) -> Iterator[Line]:
    words = {"tag": "Tag", "nonpaged": "NonPaged Pool Consumed", "paged": "Paged Pool Consumed"}[result.order]
    yield f"   Sorting by  {words}"
    yield ""
    yield "  Pool Used:"
    if result._flags & _VERBOSE:
        yield "            NonPaged                               Paged"
        yield " Tag    Allocs    Frees     Diff     Used    Allocs    Frees     Diff     Used"
    else:
        yield "            NonPaged            Paged"
        yield " Tag    Allocs     Used    Allocs     Used"
    for row in result.tags:
        use = row._use
        if result._flags & _VERBOSE and use is not None:
            nonpaged = f"{use.nonpaged_allocations:8} {use.nonpaged_frees:8} {use.nonpaged_count:8}"
            paged = f"{use.paged_allocations:8} {use.paged_frees:8} {use.paged_count:8}"
        else:
            nonpaged, paged = f"{row.nonpaged_allocations:8}", f"{row.paged_allocations:8}"
        numbers = f" {nonpaged} {row.nonpaged_bytes:8}  {paged} {row.paged_bytes:8}"
        yield (" ", Span(row.tag, "symbol", f"poolfind {row.tag}"), numbers, _described(row))
    yield (
        f" TOTAL    {result.nonpaged_allocations:8} {result.nonpaged_bytes:8}"
        f"  {result.paged_allocations:8} {result.paged_bytes:8}"
    )
    yield from result.problems


def wanted_tag(name: str, text: str) -> Optional[str]:
    """The pattern that a tag's text is, "" for none given. Raises CommandError for one that no tag can fit."""
    text = text.strip().strip('"') if text.strip() != text or text.startswith('"') else text
    if not text:
        return None
    if len(text) > 4 and "*" not in text:
        raise CommandError(f"{name}: '{text}' is no tag: a tag has four characters")
    # A shorter tag is one that ends in spaces.
    return text if "*" in text else text.ljust(4)


@command(
    "poolused",
    category="Kernel",
    summary="How much pool each tag has",
    arguments=(
        Expression("flags", "1 verbose, 2 by nonpaged pool, 4 by paged pool"),
        Text("tag", "only tags that fit: ? is one character, * any number", holds="nothing"),
    ),
    render=poolused_lines,
)
def poolused(session: Session, flags: int = 0, tag: str = "") -> PoolUsed:
    """Shows how many allocations each pool tag has, and their bytes, as the kernel counts them (PoolTrackTable).

    Flags:
      1  allocations and frees, and tags with nothing allocated too
      2  the largest users of nonpaged pool first
      4  the largest users of paged pool first

    Case counts in tags. Session pools (flag 8) are not shown: they have tables of their own.
    """
    if flags & _BY_NONPAGED and flags & _BY_PAGED:
        raise CommandError("poolused: flags 2 and 4 exclude each other")
    if flags & _SESSION:
        raise CommandError("poolused: session pools are not counted in PoolTrackTable; dumpkit does not read theirs")
    pattern = wanted_tag("poolused", tag)
    try:
        use = pool_use(session.dump)
    except MemoryReadError as error:
        raise CommandError(f"poolused: PoolTrackTable cannot be read: {error.reason}") from error
    order = "nonpaged" if flags & _BY_NONPAGED else "paged" if flags & _BY_PAGED else "tag"
    tags = PoolTags(session.dump.name)
    rows = []
    for each in sorted(use.tags, key=lambda item: sort_key(order, item)):
        text = tag_text(each.tag & ~PROTECTED)
        empty = not (each.nonpaged_count or each.paged_count or each.nonpaged_bytes or each.paged_bytes)
        if (pattern is None or fits(text, pattern)) and (flags & _VERBOSE or not empty):
            known = tags.describe(each.tag)
            description, binary = (known.text, known.binary or None) if known is not None else (None, None)
            counts = (each.nonpaged_count, each.nonpaged_bytes, each.paged_count, each.paged_bytes)
            rows.append(TagRow(text, *counts, description, binary, each))
    return PoolUsed(
        order,
        tuple(rows),
        sum(row.nonpaged_allocations for row in rows),
        sum(row.nonpaged_bytes for row in rows),
        sum(row.paged_allocations for row in rows),
        sum(row.paged_bytes for row in rows),
        use.problems,
        flags,
    )
