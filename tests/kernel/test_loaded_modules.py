"""PsLoadedModuleList and MmUnloadedDrivers, whole and damaged."""

from __future__ import annotations

from struct import pack
from typing import List, Tuple

import pytest
from dumpkit.errors import MemoryReadError
from dumpkit.kernel.loaded_modules import LoadedImage, image_header, loaded_images, unloaded_images
from dumpkit.kernel.paging import VirtualMemory
from dumpkit.memory import AddressSpace

from tests.flat_memory import FlatMemory
from tests.forge.kernel import (
    BASE,
    LAST_UNLOADED_DRIVER,
    LOADED_MODULE_LIST,
    UNLOADED_DRIVERS,
    Image,
    Kernel,
    Unloaded,
    build_image_header,
)
from tests.forge.memory import PAGE_SIZE, PhysicalPages

IMAGES = [
    Image(BASE + i * 0x1000000, 0x1000 * (i + 1), f"\\SystemRoot\\driver{i}.sys", 100 + i, 200 + i) for i in range(6)
]


class ForgedPages(AddressSpace):
    """The physical memory of a made-up kernel."""

    space = "physical"

    def __init__(self, pages: PhysicalPages) -> None:
        self._pages = pages.pages

    def read_prefix(self, address: int, size: int) -> bytes:
        page = self._pages.get(address // PAGE_SIZE)
        offset = address % PAGE_SIZE
        return b"" if page is None else bytes(page[offset : offset + size])

    def explain(self, address: int) -> str:
        return f"page {address // PAGE_SIZE:x} not in the dump"


def memory_of(kernel: Kernel) -> VirtualMemory:
    return VirtualMemory(ForgedPages(kernel.memory), kernel.root)


def listed(kernel: Kernel, build: int = 19041) -> Tuple[List[LoadedImage], List[str]]:
    notes: List[str] = []
    return loaded_images(memory_of(kernel), LOADED_MODULE_LIST, build, notes), notes


@pytest.fixture
def kernel() -> Kernel:
    made = Kernel()
    made.add_modules(IMAGES)
    return made


def test_the_list_is_read_in_its_order(kernel: Kernel) -> None:
    images, notes = listed(kernel)
    assert [(i.base, i.size, i.path, i.timestamp, i.checksum) for i in images] == [image[:5] for image in IMAGES]
    assert notes == []


def test_an_empty_list_has_no_modules() -> None:
    assert listed(Kernel()) == ([], [])


def test_before_windows_10_the_entry_has_no_time_stamp(kernel: Kernel) -> None:
    images, _ = listed(kernel, build=9600)
    assert [(i.timestamp, i.checksum) for i in images] == [(0, image.checksum) for image in IMAGES]


def test_the_images_own_header_counts_before_the_list(kernel: Kernel) -> None:
    kernel.put(IMAGES[2].base, build_image_header(Image(IMAGES[2].base, 0x9000, "", 0xAAAA, 0xBBBB)))
    images, _ = listed(kernel)
    assert images[2][1:] == (0x9000, IMAGES[2].name, 0xAAAA, 0xBBBB)


def test_a_broken_link_is_walked_around_from_the_end(kernel: Kernel) -> None:
    kernel.put(kernel.entries[2], pack("<Q", 0xFFFF_DEAD_0000_0000))
    images, notes = listed(kernel)
    assert [image.base for image in images] == [image.base for image in IMAGES]
    assert len(notes) == 1
    assert f"the entry at ffffdead00000000, the Flink of {kernel.entries[2]:016x}, cannot be read" in notes[0]
    assert "3 modules were found from its start and 3 from its end" in notes[0]


def test_links_broken_in_both_directions_lose_what_is_between(kernel: Kernel) -> None:
    kernel.put(kernel.entries[1], pack("<Q", 0x10))
    kernel.put(kernel.entries[4] + 8, pack("<Q", 0x10))
    images, notes = listed(kernel)
    assert [image.base for image in images] == [IMAGES[i].base for i in (0, 1, 4, 5)]
    assert len(notes) == 1


def test_a_link_into_what_is_no_module_is_not_followed(kernel: Kernel) -> None:
    kernel.put(kernel.entries[2], pack("<Q", kernel.allocate(b"\x11" * 0xA0)))
    images, notes = listed(kernel)
    assert len(images) == 6
    assert "which is no module" in notes[0]


def test_a_loop_ends_the_walk(kernel: Kernel) -> None:
    kernel.put(kernel.entries[3], pack("<Q", kernel.entries[1]))
    images, notes = listed(kernel)
    assert [image.base for image in images] == [image.base for image in IMAGES]
    assert "leads back into the list" in notes[0]


def test_an_unreadable_head_is_noted() -> None:
    notes: List[str] = []
    assert loaded_images(FlatMemory({}), LOADED_MODULE_LIST, 19041, notes) == []
    assert "its head cannot be read" in notes[0]


def test_a_name_that_is_not_in_the_dump_falls_back_to_the_other(kernel: Kernel) -> None:
    kernel.put(kernel.entries[0] + 0x48, pack("<HHIQ", 20, 20, 0, 0xFFFF_DEAD_0000_0000))
    images, notes = listed(kernel)
    assert images[0].path == IMAGES[0].name
    kernel.put(kernel.entries[0] + 0x58, pack("<HHIQ", 20, 20, 0, 0xFFFF_DEAD_0000_0000))
    images, notes = listed(kernel)
    assert images[0].path == ""
    assert notes == ["The names of 1 of 6 loaded modules are not in the dump."]


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"MZ",
        b"MZ".ljust(0x200, b"\0"),
        b"XX" + build_image_header(IMAGES[0])[2:],
        build_image_header(IMAGES[0]).replace(b"PE\0\0", b"NE\0\0"),
        build_image_header(IMAGES[0])[:0x3C] + b"\xff\xff\xff\xff" + bytes(0x100),
    ],
)
def test_what_is_no_pe_header_gives_none(page: bytes) -> None:
    assert image_header(FlatMemory({BASE: page}), BASE) is None


def test_unloaded_images_come_newest_first() -> None:
    kernel = Kernel()
    kernel.add_unloaded([Unloaded(0x1000 * i, 0x1000 * i + 0x800, f"driver{i}.sys", i) for i in range(1, 4)])
    found = list(unloaded_images(memory_of(kernel), UNLOADED_DRIVERS, LAST_UNLOADED_DRIVER))
    assert [(u.start, u.end, u.name, u.time) for u in found] == [
        (0x3000, 0x3800, "driver3.sys", 3),
        (0x2000, 0x2800, "driver2.sys", 2),
        (0x1000, 0x1800, "driver1.sys", 1),
    ]


def test_the_ring_of_unloaded_images_wraps() -> None:
    kernel = Kernel()
    kernel.add_unloaded([Unloaded(0x1000 * i, 0x1000 * i + 1, f"{i}.sys") for i in range(1, 51)], next_index=2)
    found = list(unloaded_images(memory_of(kernel), UNLOADED_DRIVERS, LAST_UNLOADED_DRIVER))
    assert [u.name for u in found[:4]] == ["2.sys", "1.sys", "50.sys", "49.sys"]
    assert len(found) == 50


def test_no_driver_was_ever_unloaded() -> None:
    kernel = Kernel()
    kernel.put(UNLOADED_DRIVERS, bytes(16))
    assert list(unloaded_images(memory_of(kernel), UNLOADED_DRIVERS, LAST_UNLOADED_DRIVER)) == []


def test_an_unloaded_list_that_is_not_in_the_dump_is_a_read_error() -> None:
    with pytest.raises(MemoryReadError):
        list(unloaded_images(FlatMemory({}), UNLOADED_DRIVERS, LAST_UNLOADED_DRIVER))
