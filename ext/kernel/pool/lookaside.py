"""Blocks that were freed but are kept at hand: the dynamic lookaside lists of the segment heap's pool nodes.

For the allocator behind them they are still allocated, so a chunk in such a list looks like one in use. Each bucket
of an _RTL_DYNAMIC_LOOKASIDE is an SLIST of blocks of one size ("Scoop the Windows 10 pool!", SSTIC 2020).
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError, SymbolError
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, FrozenSet, Iterator, Set

_MOST_NODES = 64
#: Reads spent on all lists together.
_MOST_ENTRIES = 4096
#: SLIST_HEADER keeps the first entry's address in the upper 60 bits of its second word.
_NEXT_ENTRY = ~0xF


def kept_blocks(target: Target) -> FrozenSet[int]:
    """The virtual addresses of the entries of all dynamic lookaside lists that can be read."""
    found: Set[int] = set()
    try:
        state = target.type("_EX_POOL_HEAP_MANAGER_STATE").at(target.symbols.address_of("nt!ExPoolState"))
        nodes = min(state.NumberOfPools, _MOST_NODES)
        for node in range(nodes):
            for entry in _entries(target, state.member(f"PoolNode[{node}].Lookasides")):
                if len(found) >= _MOST_ENTRIES:
                    return frozenset(found)
                found.add(entry)
    except (SymbolError, MemoryReadError):
        return frozenset(found)
    return frozenset(found)


def _entries(target: Target, lookasides: Any) -> Iterator[int]:
    memory = target.memory
    for lookaside in lookasides:
        buckets = lookaside.Buckets
        count = min(lookaside.BucketCount, len(buckets))
        for number in range(count):
            head = buckets.element(number).ListHead.address
            words = memory.read_optional(head, 16)
            if words is None:
                continue
            depth = int.from_bytes(words[:2], "little")
            entry = int.from_bytes(words[8:], "little") & _NEXT_ENTRY
            while entry and depth:
                yield entry
                depth -= 1
                following = memory.u64_optional(entry)
                entry = following & _NEXT_ENTRY if following is not None else 0
