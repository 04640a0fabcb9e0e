"""Version resources of images in memory, whole and damaged."""

from __future__ import annotations

from struct import pack

from dumpkit.kernel.version_resource import VersionResource, version_resource
from dumpkit.symbols.module_image import ModuleImage
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flat_memory import FlatMemory
from tests.forge.image_resources import Version, resource_section

BASE, RESOURCES = 0xFFFFF80011110000, 0x1000
STRINGS = {"CompanyName": "Slow Disks Ltd.", "FileDescription": "A driver, with ü", "ProductVersion": "7"}


def image(section: bytes) -> ModuleImage:
    """An image of which memory holds the headers and the resources."""
    optional = pack("<H", 0x20B) + bytes(54) + pack("<II", 0x3000, 0x400)
    optional = optional.ljust(108, b"\0") + pack("<I", 16) + bytes(16) + pack("<II", RESOURCES, len(section))
    optional = optional.ljust(240, b"\0")
    headers = b"MZ".ljust(60, b"\0") + pack("<I", 64)
    headers += b"PE\0\0" + pack("<HHIIIHH", 0x8664, 0, 0, 0, 0, len(optional), 0x22) + optional
    memory = FlatMemory({BASE: headers.ljust(0x400, b"\0"), BASE + RESOURCES: section})
    return ModuleImage(memory, BASE, 0x3000, "made.sys")


def test_version_and_strings_are_read() -> None:
    section = resource_section(Version((10, 0, 19041, 1288), STRINGS), RESOURCES)
    found = version_resource(image(section))
    assert found == VersionResource("10.0.19041.1288", STRINGS)
    assert found.company == "Slow Disks Ltd."


def test_an_image_without_resources_has_no_version() -> None:
    assert version_resource(image(b"")) is None


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_resource_gives_what_there_is_or_nothing(data: st.DataObject) -> None:
    section = bytearray(resource_section(Version((1, 2, 3, 4), STRINGS), RESOURCES))
    for _ in range(data.draw(st.integers(1, 8))):
        section[data.draw(st.integers(0, len(section) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(section)))
    found = version_resource(image(bytes(section[:cut])))
    text = bytes(section[:cut]).decode("utf-16-le", "replace") + bytes(section[1:cut]).decode("utf-16-le", "replace")
    for name, value in found.strings.items() if found is not None else ():
        assert name in text and value in text
