"""A target whose memory is forged images and a stack's words, for tests of what unwinds it."""

from __future__ import annotations

from struct import pack
from typing import Dict, Iterable, Mapping, Sequence

from dumpkit.memory import AddressSpace
from dumpkit.module import Module

from tests.forge.image import Image
from tests.made_target import MadeTarget


class ImagesAndWords(AddressSpace):
    """Forged images as the loader maps them, and 64-bit words by virtual address; everything else is a hole."""

    def __init__(self, images: Iterable[Image], words: Mapping[int, int]) -> None:
        self.pages: Dict[int, bytes] = {}
        for image in images:
            for rva, page in image.pages(discard=False):
                self.pages[image.base + rva] = page
        self.words = dict(words)

    def read_prefix(self, address: int, size: int) -> bytes:
        data = b""
        while len(data) < size:
            place = address + len(data)
            page = self.pages.get(place & ~0xFFF)
            if page is not None:
                data += page[place & 0xFFF :]
            elif place & ~7 in self.words:
                data += pack("<Q", self.words[place & ~7])[place & 7 :]
            else:
                break
        return data[:size]

    def explain(self, address: int) -> str:
        return "readable" if self.read_prefix(address, 1) else "not in the test's memory"


class ImageTarget(MadeTarget):
    """A target in which forged images are loaded."""

    def __init__(self, images: Sequence[Image], words: Mapping[int, int]) -> None:
        super().__init__()
        self.images_and_words = ImagesAndWords(images, words)
        self.memory = self.images_and_words  # type: ignore[assignment]
        self._loaded = sorted(module_of(image) for image in images)

    @property
    def modules(self) -> Sequence[Module]:
        return self._loaded


def module_of(image: Image) -> Module:
    """An image in the list of modules."""
    stem = image.name.partition(".")[0]
    return Module(image.base, image.size, stem, image.name, image.name, image.stamp, image.checksum)
