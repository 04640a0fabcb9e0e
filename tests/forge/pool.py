"""Pool memory: segment-heap pages (VS, LFH, big, large) with their encoded headers, and classic pages.

How headers are encoded: yardenshafir's PoolViewer and public talks on the segment heap in the kernel; the types are
those of the public symbols. A page of the VS back-end holds whole chunks only, but a pair of headers may end a page
whose data begins the next one.
"""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from dumpkit.symbols.types import EnumType

from tests.forge.machine import Machine
from tests.forge.structure import Structure

#: _EX_HEAP_TYPE: the index of a heap in its pool node.
NON_PAGED, NON_PAGED_NX, PAGED, MMST = 0, 1, 2, 3
#: _POOL_TYPE bits in a POOL_HEADER.
NON_PAGED_TYPE, PAGED_TYPE, IN_USE, QUOTA = 0, 1, 2, 8
#: What `Pool.heap` takes for the node of special pool's heaps.
SPECIAL_NODE = -1
#: RangeFlags of a _HEAP_PAGE_RANGE_DESCRIPTOR.
INTERIOR, BIG, LFH, VS = 0x1, 0x3, 0xB, 0xF

_SEGMENT_MAGIC = 0xA2E64EAD_A2E64EAD
_VS_MAGIC = 0x2BED
_TREE_SIGNATURE = 0xCCDDCCDD
_SEGMENT_SIZES = (1 << 20, 1 << 24)
_UNIT_SHIFTS = (12, 16)
_SEGMENT_HEAP_SIGNATURE = 0xDDEEDDEE
_PAGE = 0x1000
_BIG_TABLE_ENTRIES = 256
_U64 = 0xFFFF_FFFF_FFFF_FFFF


def tag_value(tag: str) -> int:
    """Four characters as the word that a POOL_HEADER holds."""
    return int.from_bytes(tag.encode("latin-1")[:4].ljust(4), "little")


def put_pool_header(
    machine: Machine,
    address: int,
    size: int,
    tag: str,
    pool_type: int = NON_PAGED_TYPE,
    previous: int = 0,
    process: int = 0,
) -> None:
    """A POOL_HEADER; sizes in bytes, this one's included. The quota of `process`, where there is one, was charged."""
    header = machine.view("_POOL_HEADER", address)
    machine.put(address, bytes(header.size))
    if process:
        pool_type |= QUOTA
        header["ProcessBilled"] = process ^ machine.u64(machine.address("ExpPoolQuotaCookie")) ^ address
    header.set(
        {"PreviousSize": previous >> 4, "BlockSize": size >> 4, "PoolType": pool_type, "PoolTag": tag_value(tag)}
    )


class Pool:
    """The kernel's pool on the segment heap: its state, its heaps, and the segments laid out in them.

    `tracker_base` is the address from which the allocation tracker counts, `bitmap` where its bitmap lies.
    """

    def __init__(
        self,
        machine: Machine,
        heap_key: int = 0x9E3779B97F4A7C15,
        lfh_key: int = 0xC2B2AE3D27D4EB4F,
        tracker_base: int = 0xFFFF_8000_0000_0000,
        bitmap: int = 0xFFFF_D500_0000_0000,
    ) -> None:
        self.machine = machine
        self.heap_key, self.lfh_key = heap_key, lfh_key
        self._tracker_base, self._bitmap = tracker_base, bitmap
        self.heaps: Dict[Tuple[int, int], Structure] = {}
        machine.global_view("_RTLP_HP_HEAP_GLOBALS", "RtlpHpHeapGlobals").set({"HeapKey": heap_key, "LfhKey": lfh_key})
        self.state = machine.global_view("_EX_POOL_HEAP_MANAGER_STATE", "ExPoolState")
        self.state["NumberOfPools"] = 1
        manager = self.state.member("HeapManager")
        manager.set({"Globals": machine.address("RtlpHpHeapGlobals"), "AllocTracker.BaseAddress": tracker_base})
        manager["AllocTracker.AllocTrackerBitmap.UserBitmap"] = bitmap
        manager["AllocTracker.AllocTrackerBitmap.BitCount"] = 1 << 28
        self._make_big_table()

    def _make_big_table(self) -> None:
        machine = self.machine
        self._entry_size = machine.layouts.size("_POOL_TRACKER_BIG_PAGES")
        self._big_table = machine.allocate(_BIG_TABLE_ENTRIES * self._entry_size, 0x1000)
        for slot in range(_BIG_TABLE_ENTRIES):
            machine.put_u64(self._big_table + slot * self._entry_size, 1)
        machine.set_global("PoolBigPageTable", self._big_table)
        machine.set_global("PoolBigPageTableSize", _BIG_TABLE_ENTRIES)

    def map_state(self) -> None:
        """Map the parts of the state that no heap was put in, as a dump of the kernel has them."""
        self.machine.put(self.state.at("SpecialHeaps"), bytes(32))

    def heap(self, kind: int, node: int = 0) -> Structure:
        """The _SEGMENT_HEAP of a type of pool (_EX_HEAP_TYPE) of a NUMA node, made when first asked for.

        Node SPECIAL_NODE has those of special pool.
        """
        if (node, kind) not in self.heaps:
            machine = self.machine
            heap = machine.place("_SEGMENT_HEAP", machine.allocate(machine.layouts.size("_SEGMENT_HEAP"), _PAGE))
            self.heaps[node, kind] = heap
            heap["Signature"] = _SEGMENT_HEAP_SIGNATURE
            if node == SPECIAL_NODE:
                self.state[f"SpecialHeaps[{kind}]"] = heap
            else:
                self.state[f"PoolNode[{node}].Heaps[{kind}]"] = heap
                self.state["NumberOfPools"] = max(self.state["NumberOfPools"], node + 1)
            for index, (size, shift) in enumerate(zip(_SEGMENT_SIZES, _UNIT_SHIFTS)):
                context = heap.member(f"SegContexts[{index}]")
                context.set({"SegmentMask": -size & _U64, "UnitShift": shift, "PagesPerUnitShift": shift - 12})
                context.set({"FirstDescriptorIndex": 2 if not index else 1, "Heap": heap})
                machine.link(context.at("SegmentListHead"), ())
            machine.link(heap.at("VsContext.SubsegmentList"), ())
        return self.heaps[node, kind]

    def segment(self, kind: int, address: int, context: int = 0, node: int = 0) -> Segment:
        """A new segment of a heap at a multiple of 1 MB (context 0) or 16 MB (context 1)."""
        return Segment(self, self.heap(kind, node), address, context)

    def keep(self, blocks: Sequence[int], bucket: int = 0, paged: bool = False) -> None:
        """Put blocks (addresses of what their SLIST_ENTRY lies in) into a dynamic lookaside list, the first on top."""
        lookaside = self.state.member(f"PoolNode[0].Lookasides[{int(paged)}]")
        lookaside.set({"BucketCount": 64, "ActiveBucketCount": 64})
        head = lookaside.at(f"Buckets[{bucket}].ListHead")
        self.machine.put_u64(head, len(blocks), blocks[0] | 1)
        for block, following in zip(blocks, [*blocks[1:], 0]):
            self.machine.put_u64(block, following)

    def track(self, address: int, kind: int) -> None:
        """Tell the allocation tracker what a megabyte is: 1 or 2 a segment of context 0 or 1, 3 a large allocation."""
        bit = (address - self._tracker_base >> 20) * 2
        place = self._bitmap + bit // 8
        old = self.machine.read(place, 1)[0]
        self.machine.put(place, bytes([old & ~(3 << bit % 8) | kind << bit % 8]))

    def add_big_entry(
        self, address: int, size: int, tag: str, pool_type: int = NON_PAGED_TYPE, freed: bool = False
    ) -> Structure:
        """An entry of PoolBigPageTable: an allocation of a page or more; its size in bytes."""
        mixed = (address >> 12 & 0xFFFFFFFF) * 0x9E5F
        slot = (mixed ^ mixed >> 32) & _BIG_TABLE_ENTRIES - 1
        while not self.machine.read(self._big_table + slot * self._entry_size, 1)[0] & 1:
            slot = (slot + 1) % _BIG_TABLE_ENTRIES
        entry = self.machine.place("_POOL_TRACKER_BIG_PAGES", self._big_table + slot * self._entry_size)
        entry.set({"Va": address | freed, "Key": tag_value(tag), "PoolType": pool_type, "NumberOfBytes": size})
        return entry

    def large(self, kind: int, address: int, size: int, tag: str, pool_type: int = NON_PAGED_TYPE) -> Structure:
        """A large allocation: pages of its own, in the heap's tree and in PoolBigPageTable."""
        heap, machine = self.heap(kind), self.machine
        if address % 0x10000:
            raise ValueError(f"a large allocation cannot begin at {address:#x}")
        machine.put(address, bytes(size))
        data = machine.place("_HEAP_LARGE_ALLOC_DATA")
        data.set({"VirtualAddress": address, "AllocatedPages": -(-size // _PAGE)})
        root = heap["LargeAllocMetadata.Root"]
        if not root:
            heap["LargeAllocMetadata.Root"] = data
        while root:
            node = machine.view("_HEAP_LARGE_ALLOC_DATA", root)
            side = "TreeNode.Left" if address < node["VirtualAddress"] else "TreeNode.Right"
            root = node[side]
            if not root:
                node[side] = data
                data["TreeNode.ParentValue"] = node
        for megabyte in range(address & -0x100000, address + size, 0x100000):
            self.track(megabyte, 3)
        self.add_big_entry(address, size, tag, pool_type)
        return data


class Segment:
    """A _HEAP_PAGE_SEGMENT: units that are handed out in ranges from its start on."""

    def __init__(self, pool: Pool, heap: Structure, address: int, context: int) -> None:
        self.pool = pool
        self.context = heap.member(f"SegContexts[{context}]")
        if address % _SEGMENT_SIZES[context]:
            raise ValueError(f"a segment cannot begin at {address:#x}")
        self.shift = _UNIT_SHIFTS[context]
        self.header = pool.machine.place("_HEAP_PAGE_SEGMENT", address)
        self._next = self.context["FirstDescriptorIndex"]
        signature = self.context.address ^ pool.heap_key ^ address ^ _SEGMENT_MAGIC
        self.header["Signature"] = signature
        pool.machine.append(self.context.at("SegmentListHead"), self.header.at("ListEntry"))
        for megabyte in range(address, address + _SEGMENT_SIZES[context], 1 << 20):
            pool.track(megabyte, context + 1)

    def range(self, units: int, flags: int) -> int:
        """The virtual address of `units` new units, described with these flags."""
        first, self._next = self._next, self._next + units
        if self._next > 256:
            raise ValueError("the segment is full")
        for offset in range(units):
            descriptor = self.header.member(f"DescArray[{first + offset}]")
            descriptor.set({"TreeSignature": _TREE_SIGNATURE, "CommittedPageCount": 1 << self.shift - 12})
            descriptor["RangeFlags"] = flags if not offset else INTERIOR
            descriptor["UnitOffset"] = offset or units
        address = self.header.address + (first << self.shift)
        self.pool.machine.put(address, bytes(units << self.shift))
        return address

    def skip(self, units: int) -> None:
        """Leave units free, in front of the next range."""
        self._next += units

    def vs(self, units: int) -> VsSubsegment:
        """A VS subsegment over `units` units."""
        return VsSubsegment(self.pool, self.context, self.range(units, VS), units << self.shift)

    def lfh(
        self, units: int, block_size: int, blocks: Sequence[Optional[str]], pool_type: int = NON_PAGED_TYPE
    ) -> Tuple[int, ...]:
        """An LFH subsegment of blocks of a size (bytes, POOL_HEADER included): a tag for each that is busy, else None.

        The virtual addresses of the blocks' headers.
        """
        machine = self.pool.machine
        address = self.range(units, LFH)
        header = machine.view("_HEAP_LFH_SUBSEGMENT", address)
        bitmap = header.at("BlockBitmap[0]") - address
        first = -(-(bitmap + -(-len(blocks) // 32) * 8) // 0x10) * 0x10
        encoded = (block_size | first << 16) ^ self.pool.lfh_key & 0xFFFFFFFF ^ address >> 12 & 0xFFFFFFFF
        header.set({"BlockCount": len(blocks), "FreeCount": blocks.count(None), "BlockOffsets.EncodedData": encoded})
        places = tuple(address + first + block_size * index for index in range(len(blocks)))
        bits = 0
        for index, (place, tag) in enumerate(zip(places, blocks)):
            if tag is not None:
                bits |= 1 << 2 * index
                put_pool_header(machine, place, block_size, tag, pool_type | IN_USE)
        machine.put(address + bitmap, bits.to_bytes(-(-len(blocks) // 32) * 8, "little"))
        return places

    def big(self, size: int, tag: str, pool_type: int = NON_PAGED_TYPE) -> int:
        """A page range of its own for an allocation of a page or more (bytes); its virtual address."""
        address = self.range(-(-size // (1 << self.shift)), BIG)
        self.pool.add_big_entry(address, size, tag, pool_type)
        return address


class VsSubsegment:
    """A _HEAP_VS_SUBSEGMENT: chunks follow one another from its header on."""

    def __init__(self, pool: Pool, context: Structure, address: int, size: int) -> None:
        self.pool, self.address, self.size = pool, address, size
        machine = pool.machine
        header = machine.view("_HEAP_VS_SUBSEGMENT", address)
        units = size >> 4
        header.set({"Size": units, "Signature": (units ^ _VS_MAGIC) & 0x7FFF, "FullCommit": 1})
        heap = machine.view("_SEGMENT_HEAP", context["Heap"])
        machine.append(heap.at("VsContext.SubsegmentList"), header.at("ListEntry"))
        self.next = address + -(-header.size // 0x10) * 0x10
        self._previous = 0

    def free(self, size: int) -> int:
        """A free chunk of `size` bytes, its header included; the chunk's address."""
        return self._chunk(size, 0)

    def allocate(self, size: int, tag: str, pool_type: int = NON_PAGED_TYPE, process: int = 0) -> int:
        """An allocation of `size` bytes, POOL_HEADER included, in a chunk 0x10 larger; its POOL_HEADER's address.

        From a page on it has no POOL_HEADER but an entry in PoolBigPageTable; then what its data's address is, which
        begins a page.
        """
        chunk = self.next
        data = chunk + 0x10
        if size >= _PAGE and data % _PAGE:
            raise ValueError(f"an allocation of {size:#x} bytes does not begin at {data:#x}")
        if size < _PAGE and data >> 12 != (data + size - 1) >> 12 and data % _PAGE != _PAGE - 0x10:
            raise ValueError(f"an allocation of {size:#x} bytes at {data:#x} would cross a page")
        self._chunk(size + 0x10, 1)
        if size < _PAGE:
            put_pool_header(self.pool.machine, data, size, tag, pool_type | IN_USE, process=process)
        else:
            self.pool.add_big_entry(data, size, tag, pool_type)
        return data

    def fill(self, left: int = 0x20) -> int:
        """End the page with a free chunk up to `left` bytes before its end; its address.

        0x20 leaves room for a last pair of headers, 0x10 for that of a chunk whose POOL_HEADER begins the next page.
        """
        end = (self.next | _PAGE - 1) + 1 - left
        return self.free(end - self.next)

    def _chunk(self, size: int, allocated: int) -> int:
        if size % 0x10 or size <= 0 or self.next + size > self.address + self.size:
            raise ValueError(f"a chunk of {size:#x} bytes at {self.next:#x} does not fit its subsegment")
        chunk, machine = self.next, self.pool.machine
        raw = size >> 4 << 16 | self._previous >> 4 << 32 | allocated << 48
        machine.put_u64(chunk, raw ^ self.pool.heap_key ^ chunk)
        page = chunk - self.address >> 12
        header = machine.view("_HEAP_VS_CHUNK_HEADER", chunk)
        header["EncodedSegmentPageOffset"] = page ^ (self.pool.heap_key ^ chunk) & 0xFF
        self.next, self._previous = chunk + size, size
        return chunk


class Block(NamedTuple):
    """A block of a classic page: bytes, its POOL_HEADER included; a tag; free blocks keep the one that they had."""

    size: int
    tag: str
    allocated: bool = True
    #: The EPROCESS whose quota was charged.
    process: int = 0


def classic_page(
    machine: Machine, address: int, blocks: Sequence[Block], pool_type: int = NON_PAGED_TYPE
) -> Tuple[int, ...]:
    """A page of the classic pool, filled by blocks; the addresses of their POOL_HEADERs."""
    if sum(block.size for block in blocks) != _PAGE or address % _PAGE:
        raise ValueError("the blocks of a classic page fill it")
    machine.put(address, bytes(_PAGE))
    places, previous, at = [], 0, address
    for block in blocks:
        kind = (pool_type | IN_USE) if block.allocated else 0
        put_pool_header(machine, at, block.size, block.tag, kind, previous, block.process)
        places.append(at)
        previous, at = block.size, at + block.size
    return tuple(places)


def free_list(machine: Machine, head: int, headers: Sequence[int]) -> None:
    """Link free classic blocks, by their POOL_HEADERs' addresses, into a list of free blocks."""
    machine.link(head, [header + 0x10 for header in headers])


def set_tag_counts(machine: Machine, counts: Mapping[str, Tuple[int, int, int, int]]) -> None:
    """PoolTrackTable: tag -> nonpaged allocations and bytes, paged allocations and bytes, none of them freed."""
    size, entries = machine.layouts.size("_POOL_TRACKER_TABLE"), -(-len(counts) // 16) * 16
    table = machine.allocate(size * entries, 0x10)
    for number, (tag, (nonpaged, nonpaged_bytes, paged, paged_bytes)) in enumerate(counts.items()):
        entry = machine.view("_POOL_TRACKER_TABLE", table + number * size)
        entry.set({"Key": tag_value(tag), "NonPagedAllocs": nonpaged, "NonPagedBytes": nonpaged_bytes})
        entry.set({"PagedAllocs": paged, "PagedBytes": paged_bytes})
    machine.set_global("PoolTrackTable", table)
    machine.set_global("PoolTrackTableSize", entries)


def special_page(
    machine: Machine, page: int, size: int, tag: str, paged: bool = False, underruns: bool = False, fill: int = 0x5C
) -> int:
    """A page of special pool with an allocation of `size` bytes; the address of its data.

    The data ends with the page, or begins it with `underruns`.
    """
    offset = 0 if underruns else _PAGE - size & -0x10
    machine.put(page, bytes([fill]) * _PAGE)
    machine.put(page + offset, bytes(size))
    header = page + _PAGE - 0x10 if underruns else page
    machine.put(header, (size | (0x8000 if paged else 0) | fill << 16).to_bytes(4, "little") + tag.encode("latin-1"))
    machine.put_u64(header + 8, 0)
    return page + offset


def set_system_va_types(machine: Machine, types: Mapping[int, str]) -> Structure:
    """Fill MiVisibleState.SystemVaType: the 512 GB around each address -> an enumerator without its MiVa."""
    state = machine.place("_MI_VISIBLE_STATE", machine.allocate(machine.layouts.size("_MI_VISIBLE_STATE"), _PAGE))
    machine.set_global("MiVisibleState", state)
    enumeration = machine.layouts.type("_MI_SYSTEM_VA_TYPE")
    assert isinstance(enumeration, EnumType)
    values = dict(enumeration.enumerators)
    for address, name in types.items():
        state[f"SystemVaType[{address >> 39 & 0xFF}]"] = values[f"MiVa{name}"]
    return state
