"""Memory in pieces: overlapping, unaligned, out of order, touching; against a map of single bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List

import pytest
from dumpkit.dump.triage_memory import TriageMemory, disjoint
from dumpkit.errors import MemoryReadError
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from dumpkit.dump.triage import Extent

BASE = 0xFFFF900000000000


def memory_of(*pieces: Extent, file: bytes = bytes(range(256))) -> TriageMemory:
    return TriageMemory(file, lambda: pieces)


def test_a_byte_that_several_pieces_hold_is_the_first_ones() -> None:
    memory = memory_of((BASE + 4, BASE + 8, 100), (BASE, BASE + 12, 0))
    assert memory.read(BASE, 12) == bytes([0, 1, 2, 3, 100, 101, 102, 103, 8, 9, 10, 11])


def test_a_read_goes_across_pieces_that_touch() -> None:
    memory = memory_of((BASE + 5, BASE + 9, 50), (BASE, BASE + 5, 200))
    assert memory.read(BASE + 3, 4) == bytes([203, 204, 50, 51])


def test_a_read_ends_at_the_first_hole() -> None:
    memory = memory_of((BASE, BASE + 4, 0), (BASE + 8, BASE + 12, 20))
    assert memory.read_prefix(BASE + 2, 100) == bytes([2, 3])
    assert memory.read_partial(BASE - 4, 100) == [(BASE, bytes([0, 1, 2, 3])), (BASE + 8, bytes([20, 21, 22, 23]))]
    assert memory.read_optional(BASE + 2, 4) is None


def test_a_strict_read_names_the_first_missing_byte_and_why() -> None:
    memory = memory_of((BASE, BASE + 4, 0))
    with pytest.raises(MemoryReadError, match="not in this triage dump") as caught:
        memory.read(BASE + 2, 8)
    assert caught.value.address == BASE + 4
    assert memory.explain(BASE) == "readable"


def test_the_pieces_are_asked_for_at_the_first_read_and_only_once() -> None:
    calls: List[int] = []

    def pieces() -> List[Extent]:
        calls.append(1)
        return [(BASE, BASE + 4, 0)]

    memory = TriageMemory(b"abcd", pieces)
    assert calls == []
    memory.read(BASE, 4)
    memory.read_prefix(0, 4)
    assert calls == [1]


def test_the_last_byte_of_the_address_space_can_be_read() -> None:
    memory = memory_of(((1 << 64) - 2, 1 << 64, 10))
    assert memory.read_prefix((1 << 64) - 1, 8) == bytes([11])


def test_memory_in_a_bytearray_reads_as_bytes() -> None:
    memory = TriageMemory(bytearray(b"abcd"), lambda: [(BASE, BASE + 4, 0)])
    assert memory.read(BASE, 4) == b"abcd"


pieces_of_a_small_space = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 30), st.integers(0, 200)).map(lambda t: (t[0], t[0] + t[1], t[2])),
    max_size=12,
)


@given(pieces_of_a_small_space, st.integers(0, 95), st.integers(1, 40))
def test_every_read_is_what_a_map_of_bytes_gives(pieces: List[Extent], address: int, size: int) -> None:
    file = bytes(range(256))
    expected: Dict[int, int] = {}
    for start, end, offset in reversed(pieces):
        expected.update((i, file[offset + i - start]) for i in range(start, end))
    memory = TriageMemory(file, lambda: pieces)
    run = bytearray()
    while len(run) < size and address + len(run) in expected:
        run.append(expected[address + len(run)])
    assert memory.read_prefix(address, size) == bytes(run)
    following = [i for i in expected if address <= i < address + size]
    assert memory.next_readable(address, address + size) == (min(following) if following else None)


@given(pieces_of_a_small_space)
def test_disjoint_pieces_are_ascending_and_cover_the_same_bytes(pieces: List[Extent]) -> None:
    cut = disjoint(pieces)
    assert all(a[1] <= b[0] for a, b in zip(cut, cut[1:]))
    assert {i for start, end, _ in cut for i in range(start, end)} == {
        i for start, end, _ in pieces for i in range(start, end)
    }


def test_many_pieces_on_one_place_are_cut_quickly() -> None:
    pieces = [(BASE, BASE + 1 + i, i) for i in range(20_000)]
    assert len(disjoint(pieces)) == 20_000
