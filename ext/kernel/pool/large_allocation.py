"""Large allocations: address space of their own, found in a heap's tree of _HEAP_LARGE_ALLOC_DATA.

The tree is an _RTL_RB_TREE ordered by VirtualAddress, whose low 16 bits hold UnusedBytes. Its links may be encoded
with an address (yardenshafir's PoolViewer takes the tree's; other analyses the node's): each is tried.
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError
from dumpkit.kernel.pool.segment_heap import Heap
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.objects import Record
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Set, Tuple

_PAGE_SHIFT = 12
_UNUSED_MASK = 0xFFFF
_DEEPEST = 128
_MOST_NODES = 100_000


class LargeAllocation(NamedTuple):
    """A large allocation at the virtual addresses [start, end)."""

    heap: Heap
    start: int
    end: int
    #: Bytes at its end that nobody asked for.
    unused: int
    #: Virtual address of its _HEAP_LARGE_ALLOC_DATA.
    node: int


class LargeAllocations:
    """The trees of heaps. Raises SymbolError where a type is missing."""

    def __init__(self, target: Target) -> None:
        self._memory = target.memory
        self._heap = target.type("_SEGMENT_HEAP")
        self._node = target.type("_HEAP_LARGE_ALLOC_DATA")

    def find(self, heap: Heap, address: int) -> Tuple[Optional[LargeAllocation], Optional[str]]:
        """The large allocation of a heap that holds an address; None, and why where the tree cannot be followed."""
        try:
            node = self._root(heap)
            for _ in range(_DEEPEST):
                if node is None:
                    return None, None
                found = self._allocation(heap, node)
                if found.start <= address < found.end:
                    return found, None
                node = self._child(heap, node, "Left" if address < found.start else "Right")
        except MemoryReadError as error:
            return None, f"the tree of large allocations of the heap at {heap.address:016x} is cut: {error.reason}"
        return None, f"the tree of large allocations of the heap at {heap.address:016x} is too deep: it is damaged"

    def all(self, heap: Heap) -> Iterator[LargeAllocation]:
        """Every large allocation of a heap that can be reached, each once."""
        seen: Set[int] = set()
        waiting: List[Record] = []
        try:
            root = self._root(heap)
        except MemoryReadError:
            return
        if root is not None:
            waiting.append(root)
        while waiting and len(seen) < _MOST_NODES:
            node = waiting.pop()
            if node.address in seen:
                continue
            seen.add(node.address)
            try:
                yield self._allocation(heap, node)
                children = [self._child(heap, node, side) for side in ("Right", "Left")]
            except MemoryReadError:
                continue
            waiting += [child for child in children if child is not None]

    def _tree(self, heap: Heap) -> Record:
        tree: Record = self._heap.at(heap.address).LargeAllocMetadata
        return tree

    def _root(self, heap: Heap) -> Optional[Record]:
        tree = self._tree(heap)
        return self._link(tree, int(tree.Root), tree.address) if int(tree.Root) else None

    def _child(self, heap: Heap, node: Record, side: str) -> Optional[Record]:
        place = int(node.member(f"TreeNode.{side}"))
        return self._link(self._tree(heap), place, node.address) if place else None

    def _link(self, tree: Record, place: int, holder: int) -> Optional[Record]:
        """The node that a link leads to."""
        offset = self._node.offset("TreeNode")
        if not tree.get("Encoded"):
            return self._plausible(place - offset, required=True)
        for key in (tree.address, holder + offset if holder != tree.address else holder, 0):
            found = self._plausible((place ^ key) - offset & U64_MASK, required=False)
            if found is not None:
                return found
        raise MemoryReadError(place, "an encoded link that no known key decodes")

    def _plausible(self, address: int, required: bool) -> Optional[Record]:
        node: Record = self._node.at(address)
        if not required and (node.get("VirtualAddress") or 0) >> 47 != 0x1FFFF:
            return None
        return node

    @staticmethod
    def _allocation(heap: Heap, node: Record) -> LargeAllocation:
        word = node.VirtualAddress
        start = word & ~_UNUSED_MASK & U64_MASK
        return LargeAllocation(
            heap, start, start + (node.AllocatedPages << _PAGE_SHIFT), word & _UNUSED_MASK, node.address
        )
