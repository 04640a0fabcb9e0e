"""The function table of an image: its exception directory (.pdata), and the unwind data that it leads to.

Layout: Microsoft's "PE Format", the .pdata section, and "x64 exception handling".
"""

from __future__ import annotations

from itertools import chain
from struct import Struct

from dumpkit.errors import UnwindError
from dumpkit.kernel.unwind_info import (
    RuntimeFunction,
    UnwindInfo,
    read_runtime_function,
    read_unwind_info,
)
from dumpkit.memory import PAGE_SIZE
from dumpkit.symbols.module_image import ModuleImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Iterator, List, Optional, Tuple

_ENTRY = 12
_WORDS = Struct("<III")
#: Unwind data chained to other unwind data; more than a few do not occur.
_MOST_CHAINED = 32
#: How far apart entries are tried where the one in the middle is not there: less than a page of them.
_STRIDE = 340


class FunctionTable:
    """Functions by RVA. Read as it is asked: a look-up reads a few pages of the table.

    `rva` and `size`, in bytes, are the image's exception directory's (IMAGE_DIRECTORY_ENTRY_EXCEPTION).
    """

    def __init__(self, image: ModuleImage, rva: int, size: int) -> None:
        self.image = image
        self._rva = rva
        self._count = min(size, image.size) // _ENTRY if rva else 0
        self._pages: Dict[int, bytes] = {}
        #: Why no part of the table can be read, once that is known.
        self._problem = ""
        self._infos: Dict[int, UnwindInfo] = {}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[RuntimeFunction]:
        """The entries that can be read."""
        entries = (self._entry(index) for index in range(self._count))
        return (entry for entry in entries if entry is not None)

    def _entry(self, index: int) -> Optional[RuntimeFunction]:
        rva = self._rva + index * _ENTRY
        at = rva % PAGE_SIZE
        data = self._page(rva // PAGE_SIZE)[at : at + _ENTRY]
        if at + _ENTRY > PAGE_SIZE and len(data) == PAGE_SIZE - at:
            data += self._page(rva // PAGE_SIZE + 1)[: _ENTRY - len(data)]
        return RuntimeFunction(*_WORDS.unpack(data)) if len(data) == _ENTRY else None

    def _page(self, number: int) -> bytes:
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = self.image.read(number * PAGE_SIZE, PAGE_SIZE)
        return page

    def find(self, rva: int) -> Optional[RuntimeFunction]:
        """The entry that an RVA lies in; None for a leaf function, which needs none.

        Raises UnwindError where the part of the table that would have it cannot be read.
        """
        if self._problem:
            raise UnwindError(self._problem)
        low, high = 0, self._count
        while low < high:
            middle, entry = self._readable(low, high)
            if rva < entry.begin:
                high = middle
            elif rva >= entry.end:
                low = middle + 1
            else:
                return entry
        return None

    def _readable(self, low: int, high: int) -> Tuple[int, RuntimeFunction]:
        """An entry between two indices, the one in the middle if it can be read, with its index."""
        middle = (low + high) // 2
        above, below = range(middle + _STRIDE, high, _STRIDE), range(middle - _STRIDE, low, -_STRIDE)
        for index in chain((middle,), above, below, (low, high - 1)):
            entry = self._entry(index)
            if entry is not None:
                return index, entry
        place = self._rva + middle * _ENTRY
        problem = f"the function table of {self.image.name} cannot be read at RVA 0x{place:x}"
        if high - low == self._count:
            self._problem = problem
        raise UnwindError(problem)

    def parts(self, function: RuntimeFunction) -> List[Tuple[RuntimeFunction, UnwindInfo]]:
        """A function and all that its unwind data is chained to, each with its unwind data; the whole one is last.

        Raises UnwindError where one of them cannot be read or is damaged.
        """
        found: List[Tuple[RuntimeFunction, UnwindInfo]] = []
        following: Optional[RuntimeFunction] = function
        while following is not None:
            if len(found) == _MOST_CHAINED:
                place = f"{self.image.name} at RVA 0x{function.unwind_info:x}"
                raise UnwindError(f"the unwind data of {place} is chained without an end")
            following = self._direct(following)
            info = self._info(following.unwind_info)
            found.append((following, info))
            following = info.chained
        return found

    def _direct(self, function: RuntimeFunction) -> RuntimeFunction:
        """An entry may name another entry, by an odd RVA, whose unwind data is its own too."""
        for _ in range(_MOST_CHAINED):
            if not function.unwind_info & 1:
                return function
            other = read_runtime_function(self.image, function.unwind_info & ~1)
            function = RuntimeFunction(function.begin, function.end, other.unwind_info)
        raise UnwindError(f"the function table of {self.image.name} is damaged at RVA 0x{function.unwind_info:x}")

    def _info(self, rva: int) -> UnwindInfo:
        info = self._infos.get(rva)
        if info is None:
            info = self._infos[rva] = read_unwind_info(self.image, rva)
        return info
