"""Faults in a target's memory: what a command reads is recorded, and then missing or garbage, piece by piece.

    with Faults(target) as faults:            # records
        run(session, "t")
    with Faults(target, Missing(address, 8)): # one field cannot be read
        run(session, "t")
    with Faults(target, Random(seed=7)):      # words are wild, pages are missing, lists run in circles
        run(session, "t")

A fault says the same of an address each time it is read, as memory would.
"""

from __future__ import annotations

from struct import pack
from typing import Dict, List, Optional, Protocol, Set, Tuple

from dumpkit.memory import PAGE_SIZE, U64_MASK, AddressSpace
from dumpkit.target import Target

REASON = "a test took it out of the dump"

#: What stands in a field instead of what belongs there.
GARBAGE = {
    "zero": 0,
    "ones": U64_MASK,
    "not canonical": 0x4141_4141_4141_4141,
    "user mode": 0x0000_7FF6_1234_5678,
    "nowhere": 0xFFFF_C0DE_DEAD_BEE8,
}


class Fault(Protocol):
    """What is wrong with memory."""

    def first_missing(self, address: int, end: int) -> Optional[int]:
        """The first address in a range that cannot be read, or None."""

    def change(self, address: int, data: bytes) -> bytes:
        """What is read at an address instead of `data`."""


class Missing:
    """A range that cannot be read."""

    def __init__(self, address: int, size: int) -> None:
        self.start, self.end = address, address + size

    def __repr__(self) -> str:
        return f"Missing(0x{self.start:x}, {self.end - self.start})"

    def first_missing(self, address: int, end: int) -> Optional[int]:
        return max(address, self.start) if address < self.end and self.start < end else None

    def change(self, address: int, data: bytes) -> bytes:
        return data


class Garbage:
    """A range that holds a word of garbage over and over."""

    def __init__(self, address: int, size: int, word: int) -> None:
        self.start, self.end = address, address + size
        self._data = (pack("<Q", word & U64_MASK) * (size // 8 + 1))[:size]

    def __repr__(self) -> str:
        return f"Garbage(0x{self.start:x}, {self.end - self.start}, {self._data[:8].hex()})"

    def first_missing(self, address: int, end: int) -> Optional[int]:
        return None

    def change(self, address: int, data: bytes) -> bytes:
        start, end = max(address, self.start), min(address + len(data), self.end)
        if start >= end:
            return data
        patch = self._data[start - self.start : end - self.start]
        return data[: start - address] + patch + data[end - address :]


class Random:
    """One page in `pages` is missing, one aligned word in `words` is garbage: all by the seed and the address.

    Garbage is what damaged lists and trees have: the word's own address, that of a neighbour, one that was read
    before, a wild pointer, or another number.
    """

    def __init__(self, seed: int, words: int = 40, pages: int = 60) -> None:
        self.seed, self.words, self.pages = seed, words, pages
        self._seen: Dict[int, int] = {}
        #: Addresses of words that were read, in their order.
        self._read: List[int] = []

    def __repr__(self) -> str:
        return f"Random({self.seed}, words={self.words}, pages={self.pages})"

    def _draw(self, number: int) -> int:
        """A number that the seed and another number determine (the finalizer of SplitMix64)."""
        value = (number * 0x9E37_79B9_7F4A_7C15 + self.seed * 0xBF58_476D_1CE4_E5B9) & U64_MASK
        value = (value ^ value >> 30) * 0xBF58_476D_1CE4_E5B9 & U64_MASK
        value = (value ^ value >> 27) * 0x94D0_49BB_1331_11EB & U64_MASK
        return value ^ value >> 31

    def first_missing(self, address: int, end: int) -> Optional[int]:
        page = address & ~(PAGE_SIZE - 1)
        while page < end:
            if self._draw(page | 1) % self.pages == 0:
                return max(address, page)
            page += PAGE_SIZE
        return None

    def change(self, address: int, data: bytes) -> bytes:
        # Code, names and images are read in blocks: a look at each word of them would tell little.
        if len(data) > PAGE_SIZE:
            return data
        if len(data) == 8:
            self._read.append(address)
        changed: Optional[bytearray] = None
        for place in range(address & ~7, address + len(data), 8):
            if self._draw(place) % self.words:
                continue
            word = pack("<Q", self._word(place))
            start, end = max(place, address), min(place + 8, address + len(data))
            changed = changed if changed is not None else bytearray(data)
            changed[start - address : end - address] = word[start - place : end - place]
        return bytes(changed) if changed is not None else data

    def _word(self, place: int) -> int:
        known = self._seen.get(place)
        if known is None:
            known = self._seen[place] = self._garbage(place) & U64_MASK
        return known

    def _garbage(self, place: int) -> int:
        kind, number = self._draw(place ^ 0x5555) % 8, self._draw(place ^ 0x7777)
        if kind < 2:
            return place - 8 * kind
        if kind < 4 and self._read:
            return self._read[number % len(self._read)]
        if kind < 6:
            choices = list(GARBAGE.values())
            return choices[number % len(choices)]
        return number & 0xFFFF


class Faults:
    """Puts a fault into a target's memory for as long as the `with` lasts, and records what is read.

    That is its virtual memory, or its physical one, which the page tables lie in.
    """

    def __init__(self, target: Target, fault: Optional[Fault] = None, physical: bool = False) -> None:
        memory = target.physical if physical else target.memory
        assert memory is not None
        self.memory: AddressSpace = memory
        self.fault = fault
        #: Every read so far: address and size in bytes.
        self.reads: Set[Tuple[int, int]] = set()
        self._read = self.memory.read_prefix
        self._explain = self.memory.explain
        self._next = self.memory.next_readable

    def __enter__(self) -> Faults:
        # The instance's own attributes: everyone who holds this memory sees the faults.
        vars(self.memory).update(read_prefix=self.read_prefix, explain=self.explain, next_readable=self.next_readable)
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("read_prefix", "explain", "next_readable"):
            del vars(self.memory)[name]

    def read_prefix(self, address: int, size: int) -> bytes:
        self.reads.add((address, size))
        fault = self.fault
        if fault is None:
            return self._read(address, size)
        missing = fault.first_missing(address, address + size)
        if missing is not None:
            size = missing - address
        return fault.change(address, self._read(address, size)) if size > 0 else b""

    def explain(self, address: int) -> str:
        if self.fault is not None and self.fault.first_missing(address, address + 1) is not None:
            return REASON
        return self._explain(address)

    def next_readable(self, address: int, limit: int) -> Optional[int]:
        found = self._next(address, limit)
        while found is not None and self.fault is not None:
            if self.fault.first_missing(found, found + 1) is None:
                return found
            following = (found | (PAGE_SIZE - 1)) + 1
            found = self._next(following, limit) if following < limit else None
        return found
