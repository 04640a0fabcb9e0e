"""The pools as segment heaps (Windows 10 19H1 and later): heaps, their segments, the page ranges in these.

nt!ExPoolState has a _SEGMENT_HEAP for each kind of pool of each NUMA node, and some for special pool. A heap takes
segments of 1 MB or 16 MB; a segment's descriptors say for each unit of pages what it is part of. The types are those
of the public symbols. How signatures are encoded, which bit pair of the allocation tracker stands for what, and what
RangeFlags mean, is in public analyses (yardenshafir's PoolViewer, talks on the segment heap in the kernel).
"""

from __future__ import annotations

from dumpkit.errors import MemoryReadError, SymbolError
from dumpkit.kernel.pool.header import Field, field
from dumpkit.memory import U64_MASK
from dumpkit.named_tuple import NamedTuple
from dumpkit.target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Tuple

_SEGMENT_MAGIC = 0xA2E6_4EAD_A2E6_4EAD
_HEAP_SIGNATURE = 0xDDEE_DDEE
_TREE_SIGNATURE = 0xCCDD_CCDD
#: What the contexts have had in every Windows, for when they cannot be read.
_USUAL_MASKS = (-(1 << 20) & U64_MASK, -(1 << 24) & U64_MASK)
_USUAL_SHIFTS = (12, 16)
_MOST_NODES = 64
_MOST_SEGMENTS = 1 << 16
_MEGABYTE_SHIFT = 20

#: RangeFlags: the range is allocated; this unit is its first; whose it is.
ALLOCATED, FIRST, BACKEND = 0x1, 0x2, 0xC
INTERNAL_RANGE, LFH_RANGE, VS_RANGE = 0x4, 0x8, 0xC

#: Bit pairs of the allocation tracker.
NOTHING, SMALL_SEGMENT, LARGE_SEGMENT, LARGE_ALLOCATION = range(4)


class Heap(NamedTuple):
    """A _SEGMENT_HEAP of the pool at the virtual address `address`."""

    address: int
    #: "NonPaged", "NonPagedNx", "Paged", "MmSt": the enumerators of _EX_HEAP_TYPE; "" where it is not known.
    kind: str
    #: NUMA node; None for special pool's heaps.
    node: Optional[int]
    special: bool = False

    @property
    def is_paged(self) -> bool:
        """Whether its memory is paged pool."""
        return self.kind in ("Paged", "MmSt")


class Segment(NamedTuple):
    """A _HEAP_PAGE_SEGMENT at the virtual address `address`."""

    address: int
    size: int
    heap: Heap
    #: Which of the heap's contexts.
    context: int
    unit_shift: int
    #: How it was found to be one.
    evidence: str


class PageRange(NamedTuple):
    """Units of a segment that belong together: the virtual addresses [start, end)."""

    segment: Segment
    start: int
    end: int
    #: RangeFlags of its first descriptor; 0 where the range is free.
    flags: int
    problem: Optional[str] = None

    @property
    def is_allocated(self) -> bool:
        return bool(self.flags & ALLOCATED)

    @property
    def backend(self) -> int:
        """LFH_RANGE, VS_RANGE, INTERNAL_RANGE (the heap's own), or 0: an allocation of its own.

        These bits are the _HEAP_SEG_RANGE_TYPE of the range.
        """
        return self.flags & BACKEND


class SegmentHeaps:
    """The pool's heaps of a target. Raises SymbolError where its kernel has none, or its symbols do not tell."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._memory = target.memory
        self._state = target.type("_EX_POOL_HEAP_MANAGER_STATE").at(target.symbols.address_of("nt!ExPoolState"))
        self._heap_type = target.type("_SEGMENT_HEAP")
        self._segment_type = target.type("_HEAP_PAGE_SEGMENT")
        context = target.type("_HEAP_SEG_CONTEXT")
        self._context_size = context.size
        self._list_head = context.offset("SegmentListHead")
        self._contexts_offset = self._heap_type.offset("SegContexts")
        self._signature = self._segment_type.offset("Signature")
        self._descriptors = self._segment_type.offset("DescArray")
        descriptor = target.type("_HEAP_PAGE_RANGE_DESCRIPTOR")
        self._descriptor_size = descriptor.size
        self._fields: Dict[str, Field] = {
            name: field(descriptor, name) for name in ("TreeSignature", "RangeFlags", "UnitOffset", "UnitSize")
        }
        #: What could not be read of the heaps, one clause each.
        self.problems: List[str] = []
        self._heaps: Optional[Dict[int, Heap]] = None
        self._keys: Dict[str, Optional[int]] = {}
        self._known_segments: Dict[int, Segment] = {}

    # --- Keys -------------------------------------------------------------------

    @property
    def heap_key(self) -> Optional[int]:
        """The key that headers are encoded with, or None where it cannot be read."""
        return self._key("HeapKey")

    @property
    def lfh_key(self) -> Optional[int]:
        """The key that LFH subsegments are encoded with, or None where it cannot be read."""
        return self._key("LfhKey")

    def _key(self, name: str) -> Optional[int]:
        if name not in self._keys:
            self._keys[name] = self._read_key(name)
        return self._keys[name]

    def _read_key(self, name: str) -> Optional[int]:
        target = self._target
        try:
            place = target.symbols.address_of("nt!RtlpHpHeapGlobals")
        except SymbolError:
            place = int(self._state.get("HeapManager.Globals", 0))
        try:
            value: int = target.type("_RTLP_HP_HEAP_GLOBALS").at(place).member(name)
        except MemoryReadError as error:
            self.problems.append(f"the heap globals' {name} cannot be read: {error.reason}")
            return None
        except SymbolError as error:
            self.problems.append(f"the heap globals' {name} is not known: {error}")
            return None
        return value

    # --- Heaps ------------------------------------------------------------------

    @property
    def heaps(self) -> Dict[int, Heap]:
        """Address -> heap, of every node and of special pool."""
        if self._heaps is None:
            self._heaps = {}
            for heap in self._listed():
                if heap.address:
                    self._heaps.setdefault(heap.address, heap)
        return self._heaps

    def _listed(self) -> Iterator[Heap]:
        names = self._kinds()
        nodes = self._state.get("NumberOfPools")
        if nodes is None:
            self.problems.append(f"ExPoolState.NumberOfPools at {self._number_of_pools():016x} cannot be read")
        for node in range(min(nodes if nodes is not None else 1, _MOST_NODES)):
            for place, address in enumerate(self._pointers(f"PoolNode[{node}].Heaps")):
                yield Heap(address, names.get(place, ""), node)
        for place, address in enumerate(self._pointers("SpecialHeaps")):
            yield Heap(address, names.get(place, ""), None, True)

    def _number_of_pools(self) -> int:
        place: int = self._state.address
        try:
            place = self._state.address_of("NumberOfPools")
        except SymbolError:
            return place
        return place

    def _pointers(self, path: str) -> Iterator[int]:
        array = self._state.get(path)
        if array is None:
            self.problems.append(f"ExPoolState.{path} is not in this kernel")
            return
        for place in range(len(array)):
            address = self._memory.u64_optional(array.address + 8 * place)
            if address is None:
                self.problems.append(f"ExPoolState.{path} at {array.address:016x} cannot be read")
                return
            yield address

    def _kinds(self) -> Dict[int, str]:
        """Index of a heap -> its kind, from _EX_HEAP_TYPE: the plain names, not the bounds (Min, Max)."""
        try:
            values = self._target.type("_EX_HEAP_TYPE").values
        except SymbolError:
            return {0: "NonPaged", 1: "NonPagedNx", 2: "Paged", 3: "MmSt"}
        kinds: Dict[int, str] = {}
        for name, value in values.items():
            bare = name[len("ExHeapType") :] if name.startswith("ExHeapType") else name
            if bare and not bare.endswith(("Min", "Max")):
                kinds.setdefault(value, bare)
        return kinds

    def _heap_of_context(self, context: int) -> Optional[Tuple[Heap, int]]:
        """The heap, and which of its contexts, whose _HEAP_SEG_CONTEXT is at an address; None where it is none."""
        for number in (0, 1):
            address = context - self._contexts_offset - number * self._context_size & U64_MASK
            heap = self.heaps.get(address)
            if heap is not None:
                return heap, number
        # ExPoolState may be missing in part: a heap that names itself is one, too.
        pointer = self._target.type("_HEAP_SEG_CONTEXT").at(context).get("Heap")
        if pointer is None or not int(pointer):
            return None
        heap_record = self._heap_type.at(int(pointer))
        if heap_record.get("Signature") != _HEAP_SIGNATURE:
            return None
        for number in (0, 1):
            if int(pointer) + self._contexts_offset + number * self._context_size == context:
                return Heap(int(pointer), "", None), number
        return None

    # --- Segments ---------------------------------------------------------------

    def tracked(self, address: int) -> Optional[int]:
        """What the allocation tracker has for an address's megabyte: one of its bit pairs, or None where unreadable."""
        tracker = self._state.get("HeapManager.AllocTracker")
        bitmap = tracker.get("AllocTrackerBitmap.UserBitmap") if tracker is not None else None
        base = tracker.get("BaseAddress") if tracker is not None else None
        if not bitmap or base is None:
            return None
        bit = (address - base >> _MEGABYTE_SHIFT) * 2
        count = tracker.get("AllocTrackerBitmap.BitCount")
        if bit < 0 or (count and bit >= count):
            return NOTHING
        data = self._memory.read_optional(int(bitmap) + bit // 8, 1)
        return None if data is None else data[0] >> bit % 8 & 3

    def segment_of(self, address: int) -> Tuple[Optional[Segment], List[str]]:
        """The segment that holds an address, or None; and why there is none, or none could be found."""
        kind = self.tracked(address)
        if kind in (SMALL_SEGMENT, LARGE_SEGMENT):
            contexts: Tuple[int, ...] = (kind - 1,)
            said = f"the allocation tracker has {kind} for its megabyte"
        elif kind is None:
            contexts, said = (0, 1), "the allocation tracker's bitmap cannot be read"
        else:
            return None, [f"the allocation tracker has {kind} for its megabyte"]
        problems = [] if kind is not None else [said]
        for context in contexts:
            base = address & _USUAL_MASKS[context]
            segment = self._known_segments.get(base)
            if segment is None:
                segment, problem = self._check_segment(base, context, said)
                if problem is not None:
                    problems.append(problem)
            if segment is not None and segment.context == context:
                self._known_segments[base] = segment
                return segment, problems
        return None, problems

    def _check_segment(self, base: int, context: int, said: str) -> Tuple[Optional[Segment], Optional[str]]:
        try:
            signature = self._memory.u64(base + self._signature)
        except MemoryReadError as error:
            return None, f"the segment header at {base:016x} cannot be read: {error.reason}"
        key = self.heap_key
        if key is None:
            return self._by_list(base, context, signature)
        decoded = signature ^ key ^ base ^ _SEGMENT_MAGIC
        found = self._heap_of_context(decoded)
        if found is None:
            by_list, _ = self._by_list(base, context, None)
            if by_list is not None:
                return by_list, f"the segment header at {base:016x} is damaged: its signature names no pool heap"
            return None, f"the signature at {base:016x} names no pool heap"
        heap, number = found
        return self._segment(base, heap, number, f"{said}; the segment's signature names the heap"), None

    def _by_list(self, base: int, context: int, signature: Optional[int]) -> Tuple[Optional[Segment], Optional[str]]:
        """A segment found in the lists of the heaps; `signature`, where it is sound, then gives the heap key."""
        for heap in self.heaps.values():
            for address in self._list(heap, context):
                if address != base:
                    continue
                if signature is not None:
                    place = heap.address + self._contexts_offset + context * self._context_size
                    self._keys["HeapKey"] = signature ^ place ^ base ^ _SEGMENT_MAGIC
                    self.problems.append("the heap key was computed from a segment's signature")
                return self._segment(base, heap, context, "the heap's list of segments has it"), None
        return None, f"no pool heap's list has a segment at {base:016x}"

    def _segment(self, base: int, heap: Heap, context: int, evidence: str) -> Segment:
        record = self._heap_type.at(heap.address)
        shift = record.get(f"SegContexts[{context}].UnitShift")
        size = -_USUAL_MASKS[context] & U64_MASK
        if shift is None or not 12 <= shift <= 24:
            shift = _USUAL_SHIFTS[context]
        return Segment(base, size, heap, context, shift, evidence)

    def _list(self, heap: Heap, context: int) -> Iterator[int]:
        head = heap.address + self._contexts_offset + context * self._context_size + self._list_head
        walk = self._target.list(head, "_HEAP_PAGE_SEGMENT", "ListEntry", _MOST_SEGMENTS)
        for record in walk:
            yield record.address
        if not walk.complete:
            self.problems.append(f"the list of segments at {head:016x} ends early: {walk.ended}")

    def segments(self, heap: Heap) -> Iterator[Segment]:
        """The segments of a heap, as its lists have them."""
        for context in (0, 1):
            for base in self._list(heap, context):
                yield self._segment(base, heap, context, "the heap's list of segments has it")

    # --- Ranges -----------------------------------------------------------------

    def range_of(self, segment: Segment, address: int) -> Tuple[Optional[PageRange], Optional[str]]:
        """The range of a segment's units that holds an address; None and why where its descriptor cannot be read."""
        index = address - segment.address >> segment.unit_shift
        header = self._segment_header(segment, index)
        if header is not None:
            return header, None
        try:
            data = self._descriptor(segment, index)
            flags = self._fields["RangeFlags"].of(data)
            if not flags & ALLOCATED:
                return self._units(segment, index, 1, 0, None), None
            if not flags & FIRST:
                back = self._fields["UnitOffset"].of(data)
                if not 0 < back <= index:
                    return None, f"the descriptor of unit {index} leads outside its segment (UnitOffset {back})"
                index -= back
                data = self._descriptor(segment, index)
        except MemoryReadError as error:
            return None, f"the segment's page descriptors cannot be read: {error.reason}"
        found = self._range(segment, index, data)
        if not found.start <= address < found.end:
            return None, f"the descriptor of unit {index} does not reach {address:016x}"
        return found, None

    def _descriptor(self, segment: Segment, index: int) -> bytes:
        place = segment.address + self._descriptors + index * self._descriptor_size
        return self._memory.read(place, self._descriptor_size)

    def _segment_header(self, segment: Segment, index: int) -> Optional[PageRange]:
        first = self._heap_type.at(segment.heap.address).get(f"SegContexts[{segment.context}].FirstDescriptorIndex")
        if first is None:
            first = -(-self._segment_type.size >> segment.unit_shift) or 1
        return self._units(segment, 0, first, 0, "the segment's own header") if index < first else None

    def _range(self, segment: Segment, index: int, data: bytes) -> PageRange:
        flags = self._fields["RangeFlags"].of(data)
        units = max(self._fields["UnitSize"].of(data), 1)
        problem = None
        if flags & ALLOCATED and self._fields["TreeSignature"].of(data) != _TREE_SIGNATURE:
            problem = f"the descriptor of unit {index} is damaged: it has no signature"
        return self._units(segment, index, units, flags if flags & ALLOCATED else 0, problem)

    @staticmethod
    def _units(segment: Segment, index: int, units: int, flags: int, problem: Optional[str]) -> PageRange:
        start = segment.address + (index << segment.unit_shift)
        end = min(start + (units << segment.unit_shift), segment.address + segment.size)
        return PageRange(segment, start, end, flags, problem)

    def ranges(self, segment: Segment) -> Iterator[PageRange]:
        """The allocated ranges of a segment, ascending. Raises MemoryReadError where its descriptors are missing."""
        count = segment.size >> segment.unit_shift
        data = self._memory.read(segment.address + self._descriptors, count * self._descriptor_size)
        index = 0
        while index < count:
            row = data[index * self._descriptor_size : (index + 1) * self._descriptor_size]
            flags = self._fields["RangeFlags"].of(row)
            if flags & ALLOCATED and flags & FIRST:
                found = self._range(segment, index, row)
                yield found
                index += max(found.end - found.start >> segment.unit_shift, 1)
            else:
                index += 1
